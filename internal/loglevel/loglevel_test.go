package loglevel

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	l := New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: Everything}), slog.LevelInfo)
	engine, broker := l.Logger("engine"), l.Logger("broker").With("k", "v").WithGroup("g")
	logged := func(log *slog.Logger, level slog.Level) bool {
		out.Reset()
		log.Log(t.Context(), level, "line")
		return strings.Contains(out.String(), "line")
	}
	want := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: logged %v, want %v", what, got, want)
		}
	}
	want("debug below the root", logged(engine, slog.LevelDebug), false)
	want("info", logged(engine, slog.LevelInfo), true)
	if !l.Set("engine", slog.LevelDebug) || l.Set("nobody", slog.LevelDebug) {
		t.Error("Set knows other loggers")
	}
	want("own level", logged(engine, slog.LevelDebug), true)
	want("another logger", logged(broker, slog.LevelDebug), false)
	l.Set(Root, slog.LevelError)
	want("follows the root", logged(broker, slog.LevelWarn), false)
	want("own level above the root's", logged(engine, slog.LevelDebug), true)
	l.Unset("engine")
	want("follows the root again", logged(engine, slog.LevelWarn), false)
	if got := l.Names(); !reflect.DeepEqual(got, []string{"broker", "engine", "root"}) {
		t.Errorf("names %v", got)
	}
	if Of(engine) != l || Of(broker) != l {
		t.Error("Of finds other levels")
	}
	if lv, ok := Of(slog.New(slog.DiscardHandler)).Level(Root); !ok || lv != Everything {
		t.Errorf("%v %v", lv, ok)
	}
}

func TestNames(t *testing.T) {
	for _, n := range names {
		if got, err := Parse(strings.ToLower(n.name)); err != nil || got != n.level || Name(got) != n.name {
			t.Errorf("%s: %v, %v, %s", n.name, got, err, Name(got))
		}
	}
	if _, err := Parse("LOUD"); err == nil {
		t.Error("LOUD is a level")
	}
	if Name(slog.LevelWarn+1) != "WARN" || Name(Everything) != "TRACE" {
		t.Error("levels between names")
	}
}
