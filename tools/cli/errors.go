package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ExitError ends the process with Code. When Message is empty everything has been printed.
type ExitError struct {
	Code    int
	Message string
}

func (e *ExitError) Error() string { return e.Message }

// Exit returns an error that ends the process with code and prints nothing more.
func Exit(code int) error { return &ExitError{Code: code} }

// UsageError is a command line that makes no sense: the message is followed by where to
// find help, and the exit code is 1, as in Kafka's tools.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

// Missing returns the error for an absent required option, in Kafka's words.
func Missing(flag string) error { return Usagef("Missing required argument \"[%s]\"", flag) }

// Report prints err as the end of cmd and returns the exit code of the process.
func Report(cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		if exit.Message != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), exit.Message)
		}
		return exit.Code
	}
	fmt.Fprintln(cmd.ErrOrStderr(), err)
	var usage *UsageError
	if errors.As(err, &usage) {
		what := "options and examples"
		if cmd.Example == "" {
			what = "options"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "See '%s --help' for the %s.\n", cmd.CommandPath(), what)
	}
	return 1
}

// LogError prints an error to stderr in the form of Kafka's tools, whose scripts look for
// the Java exception's name: "[2026-11-22 18:30:00,000] ERROR org.apache...: text (class)".
func LogError(cmd *cobra.Command, class string, err error) {
	now := time.Now()
	fmt.Fprintf(cmd.ErrOrStderr(), "[%s,%03d] ERROR %s: %s\n (%s)\n", now.Format("2006-01-02 15:04:05"),
		now.Nanosecond()/1e6, ExceptionName(err), ErrorText(err), class)
}

// ErrorText is what Kafka's tools print for err: the broker's message when it sent one,
// else the client's text for the error code.
func ErrorText(err error) string {
	var b *BrokerError
	if errors.As(err, &b) {
		return b.Error()
	}
	var k *kerr.Error
	if errors.As(err, &k) {
		return k.Description
	}
	return err.Error()
}

// BrokerError is an error code with the broker's own message.
type BrokerError struct {
	Code    error // a *kerr.Error
	Message string
}

// NewBrokerError joins an error code and the broker's message; nil for code 0.
func NewBrokerError(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err == nil {
		return nil
	}
	if message == nil || *message == "" {
		return err
	}
	return &BrokerError{Code: err, Message: *message}
}

func (e *BrokerError) Error() string { return e.Message }
func (e *BrokerError) Unwrap() error { return e.Code }

// javaNames holds the exception classes whose names do not follow from the error code's
// name by the rule in ExceptionName (org.apache.kafka.common.protocol.Errors).
func javaName(code string) string {
	switch code {
	case "TOPIC_ALREADY_EXISTS":
		return "TopicExists"
	case "INVALID_TOPIC_EXCEPTION":
		return "InvalidTopic"
	case "INVALID_CONFIG":
		return "InvalidConfiguration"
	case "MESSAGE_TOO_LARGE":
		return "RecordTooLarge"
	case "REQUEST_TIMED_OUT":
		return "Timeout"
	case "TOPIC_AUTHORIZATION_FAILED":
		return "TopicAuthorization"
	case "CLUSTER_AUTHORIZATION_FAILED":
		return "ClusterAuthorization"
	case "GROUP_AUTHORIZATION_FAILED":
		return "GroupAuthorization"
	case "UNKNOWN_SERVER_ERROR":
		return "UnknownServer"
	case "NON_EMPTY_GROUP":
		return "GroupNotEmpty"
	case "NOT_LEADER_FOR_PARTITION":
		return "NotLeaderOrFollower"
	case "KAFKA_STORAGE_ERROR":
		return "KafkaStorage"
	}
	return ""
}

// IsProtocol says whether err is an answer of a broker, not a failure of the tool.
func IsProtocol(err error) bool {
	var k *kerr.Error
	return errors.As(err, &k)
}

// ExceptionName returns the Java class that Kafka's tools would name for err.
func ExceptionName(err error) string {
	const prefix = "org.apache.kafka.common.errors."
	var named interface{ ExceptionName() string }
	if errors.As(err, &named) {
		return named.ExceptionName()
	}
	var k *kerr.Error
	if !errors.As(err, &k) {
		var network net.Error
		if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) {
			return prefix + "TimeoutException"
		}
		return "java.lang.IllegalArgumentException"
	}
	if name := javaName(k.Message); name != "" {
		return prefix + name + "Exception"
	}
	name, up := []byte{}, true
	for i := range len(k.Message) {
		switch c := k.Message[i]; {
		case c == '_':
			up = true
		case up:
			name, up = append(name, c), false
		default:
			name = append(name, c|0x20)
		}
	}
	return prefix + string(name) + "Exception"
}
