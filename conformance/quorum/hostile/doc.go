// Package hostile sends a server what nobody should, and looks whether others are served on
// and its memory stays bounded.
package hostile
