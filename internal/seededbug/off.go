//go:build !seededbugs

package seededbug

// Enabled tells whether this build can carry seeded bugs.
const Enabled = false

// On is false: this build has no seeded bugs.
func On(Bug) bool { return false }
