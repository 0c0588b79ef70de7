package broker

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/replication"
)

// Whether a client repeats a request hangs on the code. The codes are named by franz-go's
// table; definite says that the request was not and will not be done.
func TestCodesOfErrors(t *testing.T) {
	disk := &engine.DiskFullError{Dir: "/data", FreeBytes: 4096, Err: syscall.ENOSPC}
	for _, c := range []struct {
		err     error
		want    *kerr.Error
		retry   bool
		mention string
	}{
		{disk, kerr.PolicyViolation, false, "/data"},
		{&engine.DirFailedError{Dir: "/data", Err: syscall.EIO}, kerr.KafkaStorageError, true, "/data"},
		{&engine.TooManyFilesError{Dir: "/data", Limit: 1024, Err: syscall.EMFILE}, kerr.KafkaStorageError, true, "limit of open files: 1024"},
		{&engine.UnavailableError{Err: record.ErrUnsupportedMagic}, kerr.UnsupportedForMessageFormat, false, ""},
		{&engine.UnavailableError{Err: record.ErrCorrupt}, kerr.KafkaStorageError, true, ""},
		{&engine.RecordTooLargeError{SizeBytes: 7000, MaxBytes: 1000}, kerr.MessageTooLarge, false, "7000"},
		{&engine.SequenceError{Kind: producer.Duplicate}, kerr.OutOfOrderSequenceNumber, false, ""},
		{metadata.ErrSessionExpired, kerr.NotController, true, ""},
		{metadata.ErrUnknownOutcome, kerr.RequestTimedOut, true, ""},
		{replication.ErrNotLeader, kerr.NotLeaderForPartition, true, ""},
		{record.ErrInvalidTimestamp, kerr.InvalidTimestamp, false, ""},
		{errors.New("nobody expected this"), kerr.UnknownServerError, false, "log"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			code, message := codeOf(err)
			if int16(code) != c.want.Code || !strings.Contains(message, c.mention) {
				t.Errorf("%v is answered %s %q, want %s", err, code.Name(), message, c.want.Message)
			}
			if code.Retriable() != c.retry {
				t.Errorf("%v: clients repeat: %v, want %v", err, code.Retriable(), c.retry)
			}
		}
	}
}
