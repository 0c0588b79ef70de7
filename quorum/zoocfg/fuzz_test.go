package zoocfg

import (
	"errors"
	"testing"
)

// FuzzLoad: whatever the files hold, the result is an error or a configuration that keeps its
// promises.
func FuzzLoad(f *testing.F) {
	f.Add(tutorial, "1", "-Dzookeeper.snapCount=5", "server.1=a:1:2;3")
	f.Add("dataDir=/data\ndynamicConfigFile=/dyn\ninitLimit=1\nsyncLimit=1\n", "2", "", "server.1=a:1:2;3\nserver.2=[::1]:1:2:observer;[::1]:3")
	f.Add("server.1=[::]:2888:3888\nssl.keyStore.location=x.jks\n4lw.commands.whitelist=*\n", "\n", "-D -D= -Dzookeeper.=", "version=1")
	f.Fuzz(func(t *testing.T, text, myid, flags, dynamic string) {
		fsys := files(t, map[string]string{"/conf/zoo.cfg": text, "/data/myid": myid, "/dyn": dynamic})
		c, _, err := Load(Input{File: "/conf/zoo.cfg", FS: fsys, Environ: []string{"SERVER_JVMFLAGS=" + flags}})
		if err != nil {
			return
		}
		if c.MyID < MinID || c.MyID > MaxID || c.TickTime <= 0 || c.DataDir == "" || c.DataLogDir == "" || c.ClientAddress+c.SecureClientAddress == "" {
			t.Errorf("got %+v", c)
		}
		if c.MinSessionTimeout > c.MaxSessionTimeout || c.SnapRetain < 3 || c.JuteMaxBuffer < 1024 {
			t.Errorf("got %+v", c)
		}
		if _, listed := c.Self(); c.Distributed() && (!listed || c.InitLimit < 1 || c.SyncLimit < 1) {
			t.Errorf("a member that cannot be one: %+v", c)
		}
		again, _, err := ParseServers(FormatServers(c.Servers))
		if err != nil || len(again) != len(c.Servers) {
			t.Errorf("%v, from %+v", err, c.Servers)
		}
		for i := range again {
			if again[i] != c.Servers[i] {
				t.Errorf("%+v became %+v", c.Servers[i], again[i])
			}
		}
	})
}

// FuzzServer: a line that is taken is written and read again as the same.
func FuzzServer(f *testing.F) {
	for _, s := range []string{"a:1:2", "[::1]:1:2:observer;3", "a:1:2;b:3", "a:1:2;[::]:3", "a|b:1:2", ":1:2", "[]:1:2", "a:1:2;", "a:1:2:participant;0.0.0.0:4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseServer(1, text)
		if err != nil {
			if v := (*valueError)(nil); !errors.As(err, &v) {
				t.Errorf("%q: %v says neither what is allowed nor why", text, err)
			}
			return
		}
		again, err := ParseServerLine(s.String())
		if err != nil || again != s {
			t.Errorf("%q is %+v, then %+v, %v", text, s, again, err)
		}
	})
}
