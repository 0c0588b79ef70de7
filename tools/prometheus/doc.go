// Package prometheus holds alert rules for Millrace and an example of a configuration that
// loads them. The package itself is empty; its tests hold the rules against promtool, and
// cmd/millrace those that all their metrics exist.
package prometheus
