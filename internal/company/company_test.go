package company

import "testing"

// TestWhoWasAboutIsWaitedFor until most are there.
func TestWhoWasAboutIsWaitedFor(t *testing.T) {
	var c Company
	if !c.Enough(1) {
		t.Error("the zero value waits")
	}
	c.Answered(64)
	for present := range 65 {
		if got, want := c.Enough(present), present >= 56; got != want {
			t.Errorf("%d of 64 are there: enough %v", present, got)
		}
	}
	c.Answered(Min - 1)
	if c.Waits() {
		t.Errorf("%d are waited for", Min-1)
	}
}

// TestWhoStaysAwayIsForgotten: waiting in vain gets rarer, and ends when they are back.
func TestWhoStaysAwayIsForgotten(t *testing.T) {
	var c Company
	waited, rounds := 0, 4<<MaxMisses
	for range rounds {
		c.Answered(64)
		if c.Enough(10) {
			c.Went(10)
			continue
		}
		waited++
		c.Late(10)
		if !c.Enough(10) {
			t.Fatal("goes on waiting when the time is over")
		}
		c.Went(10)
	}
	if most := MaxMisses + 4; waited < MaxMisses || waited > most {
		t.Errorf("waited %d times in %d rounds, want %d to %d", waited, rounds, MaxMisses, most)
	}
	for !c.Waits() {
		c.Answered(64)
	}
	c.Went(64)
	c.Answered(64)
	c.Late(10)
	c.Went(10)
	c.Answered(64)
	if !c.Waits() {
		t.Error("one time in vain, after one that was not, is held against them for long")
	}
}

// TestNobodyThereIsNoMiss: with nothing to go there was nothing to gain either.
func TestNobodyThereIsNoMiss(t *testing.T) {
	var c Company
	c.Answered(64)
	c.Late(0)
	c.Went(0)
	c.Answered(64)
	if !c.Waits() {
		t.Error("held against them that nobody came")
	}
}
