package checkpoint

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Meta is a log directory's meta.properties. Version 0 names the broker by broker.id, as
// Kafka does with ZooKeeper; version 1 by node.id, as it does without. Kafka 1.0 writes no
// cluster.id, and only Kafka from 3.6 on writes directory.id.
type Meta struct {
	Version     int
	NodeID      int32    // -1 when absent
	ClusterID   string   // empty when absent
	DirectoryID [16]byte // zero when absent
}

// ParseMeta reads meta.properties, a Java properties file.
func ParseMeta(data []byte) (Meta, error) {
	props, err := parseProperties(string(data))
	if err != nil {
		return Meta{}, err
	}
	m := Meta{NodeID: -1, ClusterID: props["cluster.id"]}
	if v, ok := props["version"]; ok {
		if v != "0" && v != "1" {
			return Meta{}, metaError("version is %q, only 0 and 1 are known", clip(v))
		}
		m.Version = int(v[0] - '0')
	}
	for _, key := range []string{"broker.id", "node.id"} {
		v, ok := props[key]
		if !ok {
			continue
		}
		n, err := parseCount(v, 32)
		if err != nil {
			return Meta{}, metaError("%s: %v", key, err)
		}
		if m.NodeID >= 0 && m.NodeID != int32(n) {
			return Meta{}, metaError("broker.id and node.id differ: %d and %d", m.NodeID, n)
		}
		m.NodeID = int32(n)
	}
	if v, ok := props["directory.id"]; ok {
		if m.DirectoryID, err = ParseID(v); err != nil {
			return Meta{}, metaError("directory.id: %v", err)
		}
	}
	return m, nil
}

// Append renders the file after dst. Kafka opens it with a comment that holds the date;
// ours has none, so that the same contents are the same bytes.
func (m Meta) Append(dst []byte) []byte {
	dst = append(dst, "#\n"...)
	id := "broker.id"
	if m.Version == 1 {
		id = "node.id"
	}
	if m.NodeID >= 0 {
		dst = append(dst, id...)
		dst = append(dst, '=')
		dst = strconv.AppendInt(dst, int64(m.NodeID), 10)
		dst = append(dst, '\n')
	}
	if m.DirectoryID != ([16]byte{}) {
		dst = append(dst, "directory.id="+FormatID(m.DirectoryID)+"\n"...)
	}
	dst = append(dst, "version="...)
	dst = strconv.AppendInt(dst, int64(m.Version), 10)
	dst = append(dst, '\n')
	if m.ClusterID != "" {
		dst = append(dst, "cluster.id="+escapeValue(m.ClusterID)+"\n"...)
	}
	return dst
}

func metaError(format string, args ...any) error {
	return &FormatError{File: MetaPropertiesFile, Reason: fmt.Sprintf(format, args...)}
}

// ParsePartitionMetadata reads a partition.metadata file: the topic id that the directory
// belongs to (KIP-516).
func ParsePartitionMetadata(data []byte) (topicID [16]byte, err error) {
	fail := func(reason string) error {
		return &FormatError{File: PartitionMetadataFile, Reason: reason}
	}
	head, rest := cutLine(data)
	if head != "version: 0" {
		return topicID, fail(fmt.Sprintf("the first line is %q, not \"version: 0\"", clip(head)))
	}
	line, rest := cutLine(rest)
	value, ok := strings.CutPrefix(line, "topic_id: ")
	if !ok || len(rest) > 0 {
		return topicID, fail("there is no topic_id after the version, or something follows it")
	}
	if topicID, err = ParseID(value); err != nil {
		return topicID, fail(err.Error())
	}
	if topicID == ([16]byte{}) {
		return topicID, fail("the topic id is zero")
	}
	return topicID, nil
}

// AppendPartitionMetadata renders a partition.metadata file after dst.
func AppendPartitionMetadata(dst []byte, topicID [16]byte) []byte {
	return append(dst, "version: 0\ntopic_id: "+FormatID(topicID)...)
}

// FormatID renders a 128-bit id as Kafka's Uuid does: 22 characters of URL-safe base64.
func FormatID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseID is FormatID's inverse.
func ParseID(s string) (id [16]byte, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not an id of 22 base64 characters", clip(s))
	}
	return [16]byte(b), nil
}

// parseProperties reads the part of Java's properties format that such files use: one
// key=value or key:value a line, comments, and backslash escapes.
func parseProperties(text string) (map[string]string, error) {
	props := make(map[string]string)
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		if strings.ContainsRune(line, 0) {
			return nil, &FormatError{File: MetaPropertiesFile, Line: n + 1, Reason: "a zero byte: the file was torn"}
		}
		end := strings.IndexAny(line, "=:")
		if end < 0 {
			return nil, &FormatError{File: MetaPropertiesFile, Line: n + 1, Reason: fmt.Sprintf("%q is not key=value", clip(line))}
		}
		value := unescape(strings.TrimLeft(line[end+1:], " \t\f"))
		props[strings.TrimRight(line[:end], " \t\f")] = value
	}
	return props, nil
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

var valueEscaper = strings.NewReplacer(`\`, `\\`, "=", `\=`, ":", `\:`, "#", `\#`, "!", `\!`)

func escapeValue(s string) string { return valueEscaper.Replace(s) }
