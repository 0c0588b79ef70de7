package cli

import (
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Dial connects cmd to the cluster at bootstrap with the client settings of file (may be
// empty), and returns when a broker has answered. The caller closes the client.
func Dial(cmd *cobra.Command, bootstrap, file, clientID string) (*kgo.Client, error) {
	props, err := LoadProps(file)
	if err != nil {
		return nil, err
	}
	client, err := Connect(cmd, bootstrap, clientID, props)
	if err != nil {
		return nil, err
	}
	if err := WaitForCluster(cmd.Context(), client, bootstrap, DefaultTimeout); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// Stopped is how cmd ends when it failed because of a Ctrl-C: with Interrupted and without a
// word, as that says nothing about the cluster. nil: it did not.
func Stopped(cmd *cobra.Command, err error) error {
	if err == nil || cmd.Context().Err() == nil {
		return nil
	}
	return Exit(Interrupted)
}

// FailWith prints err in the manner of most of Kafka's tools, the bare text on stderr, and
// ends with code 1. Usage errors stay what they are.
func FailWith(cmd *cobra.Command, err error) error {
	if stopped := Stopped(cmd, err); stopped != nil {
		return stopped
	}
	switch err.(type) {
	case nil, *UsageError, *ExitError:
		return err
	}
	cmd.PrintErrln(ErrorLine(err))
	return Exit(1)
}

// ErrorLine is what Java prints for an exception: its class and text for an error of the
// protocol, the bare text for one of the tool.
func ErrorLine(err error) string {
	if IsProtocol(err) {
		return ExceptionName(err) + ": " + ErrorText(err)
	}
	return err.Error()
}
