// Package schema is the table of the Kafka wire protocol that Millrace speaks: one file
// in apis/ per API, with every field of its request and response, in wire order.
//
// tools/protogen turns the table into the codecs of package protocol and into
// docs/protocol/apis.md; nothing reads it at run time. Adding an API is adding a file here
// and running go generate ./protocol. The facts (fields, types, version ranges, tags,
// defaults) are those of Apache Kafka's message definitions; the notation is ours:
//
//	api Fetch key 1 versions 4-18 advertised 4 flexible 12+
//	limit 8MiB                     largest request; "socket" for socket.request.max.bytes
//	note Sessions from 7.          one line of the generated API page
//
//	request
//	  SessionEpoch int32 7+ default -1
//	  Topics []Topic                          an array of a struct, fields indented below
//	    Topic name 4-12
//	    TopicID uuid 13+
//	  ClusterID string 12+ null tag 0         a tagged field
//
//	response
//	  ...
//
// A field is: name, type, versions, attributes. Without versions it is there in all
// versions of its parent. "null" alone means nullable in all versions of the field, "null
// 12+" in those. A '#' starts a comment, which becomes the field's doc comment when it
// stands on the field's line. Types: bool int8 int16 int32 int64 uint16 uint32 float64
// string bytes records uuid, error (an int16 error code), name (a string that decoders may
// intern), a capitalised struct name, and arrays of these.
package schema
