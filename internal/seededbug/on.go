//go:build seededbugs

package seededbug

import "os"

// Enabled tells whether this build can carry seeded bugs.
const Enabled = true

// On tells whether SEEDED_BUG names b.
func On(b Bug) bool { return os.Getenv("SEEDED_BUG") == string(b) }
