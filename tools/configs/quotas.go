package configs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

func isClientQuota(key string) bool {
	return key == "producer_byte_rate" || key == "consumer_byte_rate" || key == "request_percentage" || key == "controller_mutation_rate"
}

func isAddressQuota(key string) bool { return key == "connection_creation_rate" }

// quotaType is the name of an entity type in the quota requests.
func quotaType(kind string) string {
	return map[string]string{users: "user", clients: "client-id", ips: "ip"}[kind]
}

// quotas describes those of exactly the types that were named.
func (r *runner) quotas(ctx context.Context) (kadm.DescribedClientQuotas, error) {
	var filter []kadm.DescribeClientQuotaComponent
	for i, kind := range r.e.types {
		c := kadm.DescribeClientQuotaComponent{Type: quotaType(kind), MatchType: kmsg.QuotasMatchTypeAny}
		if i < len(r.e.names) {
			c.MatchType = kmsg.QuotasMatchTypeDefault
			if name := r.e.names[i]; name != "" {
				c.MatchType, c.MatchName = kmsg.QuotasMatchTypeExact, &name
			}
		}
		filter = append(filter, c)
	}
	return r.admin.DescribeClientQuotas(ctx, true, filter)
}

func (r *runner) describeQuotas(ctx context.Context) error {
	found, err := r.quotas(ctx)
	if err != nil {
		return err
	}
	var lines []string
	for _, q := range found {
		slices.SortFunc(q.Values, func(a, b kadm.ClientQuotaValue) int { return strings.Compare(a.Key, b.Key) })
		var values []string
		for _, v := range q.Values {
			values = append(values, v.Key+"="+cli.JavaDouble(v.Value))
		}
		lines = append(lines, fmt.Sprintf("Quota configs for %s are %s", quotaEntity(q.Entity), strings.Join(values, ", ")))
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(r.out, line)
	}
	return nil
}

// quotaEntity writes an entity as Kafka does: the user first, then client and address.
func quotaEntity(e kadm.ClientQuotaEntity) string {
	var out []string
	for _, kind := range [][2]string{{"user", "user-principal"}, {"client-id", "client-id"}, {"ip", "ip"}} {
		for _, c := range e {
			switch {
			case c.Type != kind[0]:
			case c.Name == nil:
				out = append(out, "the default "+kind[1])
			default:
				out = append(out, fmt.Sprintf("%s '%s'", kind[1], *c.Name))
			}
		}
	}
	return strings.Join(out, ", ")
}

// describeQuotasAndCredentials is --describe of users or clients. Credentials belong to
// users alone, and no default user has any.
func (r *runner) describeQuotasAndCredentials(ctx context.Context) error {
	if err := r.describeQuotas(ctx); err != nil {
		return err
	}
	if r.e.has(clients) || r.e.hasDefault() || !cli.Serves(ctx, r.client, kmsg.DescribeUserSCRAMCredentials, 0) {
		return nil
	}
	found, err := r.admin.DescribeUserSCRAMs(ctx, r.e.names...)
	if err != nil {
		return err
	}
	for _, u := range found.Sorted() {
		if errors.Is(u.Err, kerr.ResourceNotFound) {
			continue
		}
		if u.Err != nil {
			fmt.Fprintf(r.out, "Error retrieving SCRAM credential configs for user-principal '%s': %s\n", u.User, cli.ErrorLine(u.Err))
			continue
		}
		var infos []string
		for _, c := range u.CredInfos {
			infos = append(infos, fmt.Sprintf("%s=iterations=%d", c.Mechanism, c.Iterations))
		}
		fmt.Fprintf(r.out, "SCRAM credential configs for user-principal '%s' are %s\n", u.User, strings.Join(infos, ", "))
	}
	return nil
}

// alterUsersAndClients changes quotas, or the SCRAM credentials of one user.
func (r *runner) alterUsersAndClients(ctx context.Context, add settings, remove []string) error {
	known := func(key string) bool { return isClientQuota(key) || isScram(key) && !r.e.has(clients) }
	what, whose := "quota", clients
	if !r.e.has(clients) {
		what, whose = "quota and SCRAM credential", users
	}
	if bad := without(add.names(), known); len(bad) > 0 {
		return refuse("Only %s configs can be added for '%s' using --bootstrap-server. Unexpected config names: %s", what, whose, strings.Join(bad, ","))
	}
	if bad := without(slices.Clone(remove), known); len(bad) > 0 {
		return refuse("Only %s configs can be deleted for '%s' using --bootstrap-server. Unexpected config names: %s", what, whose, strings.Join(bad, ","))
	}
	scram := slices.ContainsFunc(add.names(), isScram) || slices.ContainsFunc(remove, isScram)
	if !scram {
		return r.alterQuotas(ctx, add, remove)
	}
	if r.e.hasDefault() {
		return refuse("The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using --bootstrap-server.")
	}
	if slices.ContainsFunc(add.names(), isClientQuota) || slices.ContainsFunc(remove, isClientQuota) {
		return refuse("Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server.")
	}
	return r.alterCredentials(ctx, r.e.names[0], add, remove)
}

func (r *runner) alterQuotas(ctx context.Context, add settings, remove []string) error {
	now, err := r.quotas(ctx)
	if err != nil {
		return err
	}
	missing := without(slices.Clone(remove), func(key string) bool {
		return len(now) > 0 && slices.ContainsFunc(now[0].Values, func(v kadm.ClientQuotaValue) bool { return v.Key == key })
	})
	if len(missing) > 0 {
		return refuse("Invalid config(s): %s", strings.Join(missing, ","))
	}
	change := kadm.AlterClientQuotaEntry{}
	for i, kind := range r.e.types {
		c := kadm.ClientQuotaEntityComponent{Type: quotaType(kind)}
		if name := r.e.names[i]; name != "" {
			c.Name = &name
		}
		change.Entity = append(change.Entity, c)
	}
	for _, key := range add.names() {
		v, err := strconv.ParseFloat(add[key], 64)
		if err != nil {
			return refuse("Cannot parse quota configuration value for %s: %s", key, add[key])
		}
		change.Ops = append(change.Ops, kadm.AlterClientQuotaOp{Key: key, Value: v})
	}
	for _, key := range remove {
		change.Ops = append(change.Ops, kadm.AlterClientQuotaOp{Key: key, Remove: true})
	}
	answers, err := r.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{change})
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a.Err != nil {
			return &cli.BrokerError{Code: a.Err, Message: orText(a.ErrMessage, a.Err)}
		}
	}
	return nil
}

func orText(message string, err error) string {
	if message != "" {
		return message
	}
	return cli.ErrorText(err)
}
