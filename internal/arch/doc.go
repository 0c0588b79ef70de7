// Package arch holds the house rules that a machine can check: imports only point down,
// and what touches the machine goes through a seam. It has tests only.
package arch
