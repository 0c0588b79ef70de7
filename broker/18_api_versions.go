package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
)

// ApiVersions, versions 0-4.
//
//   - The APIs that have a handler (table.go), with the advertised minimum (Produce from 0, see 00_produce.go).
//   - A version that is not served is answered in version 0 with UNSUPPORTED_VERSION: in
//     session.unsupported, because the body cannot be decoded.
//   - Version 3 and later: the client's name and version are kept for the logs; a name or
//     version that is not made of letters, digits, dots and hyphens is INVALID_REQUEST.
//   - The response header is version 0 in every version (protocol.ResponseHeaderVersion).
//   - Features from version 3 on, as UpdateFeatures (57) left them. metadata.version is not
//     listed: the tree of metadata has no such thing. Before version 4 no feature is listed
//     whose lowest version is 0, which old Java clients take for an error (KAFKA-17492).

func apiVersions(r *request, q *protocol.ApiVersionsRequest) protocol.Message {
	resp := protocol.NewApiVersionsResponse()
	if r.h.Version >= 3 {
		if !softwareNameOK(q.ClientSoftwareName) || !softwareNameOK(q.ClientSoftwareVersion) {
			resp.ErrorCode = protocol.CodeInvalidRequest
			return &resp
		}
		r.s.software, r.s.softwareVersion = q.ClientSoftwareName, q.ClientSoftwareVersion
	}
	for a := range r.b.endpoints.served() {
		resp.ApiKeys = append(resp.ApiKeys, protocol.ApiVersionsResponseApiVersion{ApiKey: a.Key, MinVersion: a.AdvertisedMin, MaxVersion: a.Max})
	}
	r.addFeatures(&resp)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	return &resp
}

func (r *request) addFeatures(resp *protocol.ApiVersionsResponse) {
	img := r.b.loader.Image()
	resp.FinalizedFeaturesEpoch = img.Features().Epoch
	for _, f := range controller.SupportedFeatures() {
		if f.Min > 0 || r.h.Version >= 4 {
			resp.SupportedFeatures = append(resp.SupportedFeatures, protocol.ApiVersionsResponseSupportedFeature{Name: f.Name, MinVersion: f.Min, MaxVersion: f.Max})
		}
		if level := controller.FeatureLevel(img, f.Name); level > 0 { // at 0 it is not finalized
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, protocol.ApiVersionsResponseFinalizedFeature{Name: f.Name, MinVersionLevel: level, MaxVersionLevel: level})
		}
	}
}

// softwareNameOK is the rule of KIP-511.
func softwareNameOK(s string) bool {
	edge := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	if s == "" || !edge(s[0]) || !edge(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !edge(s[i]) && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}
