package quorum

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// admin is the HTTP server for commands. A nil one is none.
type admin struct {
	l    net.Listener
	http *http.Server
	done chan struct{} // closed when it has ended; nil before it served
}

// adminHeaderTimeout bounds a request that does not come, adminAnswerTimeout an answer that
// nobody takes.
const (
	adminHeaderTimeout = 10 * time.Second
	adminAnswerTimeout = time.Minute
)

// openAdmin opens its port. That the default port is taken by somebody else ends no server:
// three on one machine are no mistake.
func (q *Quorum) openAdmin(ctx context.Context) error {
	a := q.o.Config.Admin
	if !a.Enabled {
		return nil
	}
	l, err := q.listen(ctx, "admin.serverPort", a.Address())
	switch {
	case err == nil:
		q.admin = &admin{l: l}
	case a.Asked:
		return err
	default:
		q.log.Warn("there is no admin server: set admin.serverPort, or admin.enableServer=false", "err", err)
	}
	return nil
}

func (a *admin) address() string {
	if a == nil {
		return ""
	}
	return a.l.Addr().String()
}

func (a *admin) serve(q *Quorum) {
	if a == nil {
		return
	}
	c := q.o.Config.Admin
	a.http = &http.Server{
		Handler: q.server.AdminHandler(c.CommandURL), ReadHeaderTimeout: adminHeaderTimeout, ReadTimeout: adminAnswerTimeout, WriteTimeout: adminAnswerTimeout, IdleTimeout: c.IdleTimeout,
		ErrorLog: slog.NewLogLogger(q.log.Handler(), slog.LevelDebug),
	}
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		if err := a.http.Serve(a.l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			q.log.Error("the admin server stopped", "err", err)
		}
	}()
}

func (a *admin) close() error {
	if a == nil {
		return nil
	}
	if a.done == nil {
		return a.l.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := a.http.Shutdown(ctx)
	if err != nil {
		err = a.http.Close() // who still asks is cut off
	}
	<-a.done
	return err
}
