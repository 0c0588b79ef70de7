package cli

import (
	"cmp"
	"strconv"
	"strings"
)

// Partition names one partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

// String is the name that Kafka prints: "clicks-0".
func (p Partition) String() string { return p.Topic + "-" + strconv.Itoa(int(p.Index)) }

// ComparePartitions orders by topic, then by number.
func ComparePartitions(a, b Partition) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
}

// JoinPartitions writes the names of partitions with separator between them.
func JoinPartitions(partitions []Partition, separator string) string {
	words := make([]string, len(partitions))
	for i, p := range partitions {
		words[i] = p.String()
	}
	return strings.Join(words, separator)
}

// JoinIDs writes numbers with separator between them.
func JoinIDs(ids []int32, separator string) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, separator)
}

// SplitPartitions reads "clicks:0,1,2" as Kafka's tools write partitions of a topic.
func SplitPartitions(word string) ([]Partition, error) {
	topic, list, ok := strings.Cut(word, ":")
	if !ok || topic == "" || list == "" || strings.Contains(list, ":") {
		return nil, Usagef("Invalid topic arg '%s', expected topic name and partitions", word)
	}
	var out []Partition
	for _, n := range strings.Split(list, ",") {
		id, err := strconv.ParseInt(n, 10, 32)
		if err != nil {
			return nil, Usagef("Invalid partition '%s' specified in topic arg '%s'", n, word)
		}
		out = append(out, Partition{topic, int32(id)})
	}
	return out, nil
}
