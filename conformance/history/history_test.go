package history

import (
	"testing"
)

var place = Place{Topic: "t", Partition: 3}

// TestCheckSeesEachKind gives the checker one small run per promise, kept or broken.
func TestCheckSeesEachKind(t *testing.T) {
	id := func(seq int64) ID { return ID{Producer: 1, Seq: seq} }
	read := func(h *History, offset, seq int64) { h.Read(place, offset, Encode(place, id(seq), 40)) }
	for name, c := range map[string]struct {
		run  func(h *History)
		want string
	}{
		"kept":                        {func(h *History) { h.Acked(place, id(0), 0); read(h, 0, 0); read(h, 1, 1); read(h, 0, 0) }, ""},
		"unknown may be there or not": {func(h *History) { read(h, 7, 2) }, ""},
		"lost":                        {func(h *History) { h.Acked(place, id(0), 0); read(h, 1, 1) }, "lost"},
		"moved":                       {func(h *History) { h.Acked(place, id(0), 0); read(h, 5, 0) }, "lost"},
		"no offset told":              {func(h *History) { h.Acked(place, id(0), -1); read(h, 5, 0) }, ""},
		"duplicate":                   {func(h *History) { read(h, 0, 0); read(h, 1, 0) }, "duplicate"},
		"repeat allowed":              {func(h *History) { h.MayRepeat(1); read(h, 0, 0); read(h, 1, 1); read(h, 2, 0) }, ""},
		"reorder":                     {func(h *History) { read(h, 0, 1); read(h, 1, 0) }, "reorder"},
		"reorder and repeat":          {func(h *History) { h.MayRepeat(1); read(h, 0, 1); read(h, 1, 0) }, "reorder"},
		"never sent":                  {func(h *History) { read(h, 0, 99) }, "phantom"},
		"refused":                     {func(h *History) { h.Refused(place, id(0)); read(h, 0, 0) }, "phantom"},
		"torn":                        {func(h *History) { v := Encode(place, id(0), 40); v[30] ^= 1; h.Read(place, 0, v) }, "torn"},
		"cut":                         {func(h *History) { h.Read(place, 0, Encode(place, id(0), 40)[:10]) }, "torn"},
		"in a wrong place":            {func(h *History) { h.Read(place, 0, Encode(Place{Topic: "t", Partition: 4}, id(0), 40)) }, "torn"},
		"changed":                     {func(h *History) { read(h, 0, 0); read(h, 0, 1) }, "changed"},
		"deleted on purpose":          {func(h *History) { h.Acked(place, id(0), 0); h.ForgetBelow(place, 1) }, ""},
		"deleted by mistake":          {func(h *History) { h.Acked(place, id(1), 1); h.ForgetBelow(place, 1) }, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			h := New()
			for seq := range int64(3) {
				h.Sent(place, id(seq))
			}
			c.run(h)
			got := h.Check()
			if len(got) != len(h.Check()) {
				t.Error("a second Check found something else")
			}
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("found %v", got)
			case c.want != "" && (len(got) != 1 || got[0].Kind != c.want):
				t.Errorf("found %v, want one of kind %s", got, c.want)
			}
		})
	}
}

func TestValuesAreAsLargeAsAsked(t *testing.T) {
	for size, want := range map[int]int{0: MinValueBytes, 16: 16, 17: 17, 5000: 5000} {
		v := Encode(place, ID{Producer: 9, Seq: 1 << 40}, size)
		id, err := Decode(place, v)
		if len(v) != want || err != nil || id != (ID{Producer: 9, Seq: 1 << 40}) {
			t.Errorf("size %d: %d bytes, %v, %v", size, len(v), id, err)
		}
	}
}
