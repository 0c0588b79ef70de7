// Package wire looks at what consumer groups say to a broker, whatever client speaks. A
// Proxy stands between clients and broker (it is the address that the broker advertises)
// and hands each request of the group APIs with its reply, decoded by kmsg, to a Checker,
// which holds the rules that a coordinator must keep:
//
//   - No committed offset goes back: a commit that was accepted is not below one that was
//     accepted before it was sent, and what OffsetFetch answers is not below that either.
//   - No partition has two owners in one generation of a classic group, and none at any
//     moment in a group of the new protocol.
//   - Generations never go back, and a commit of an older generation is refused once the
//     next one was announced.
//
// "Before" is the order in which frames pass the proxy: what a reply said counts from the
// moment before it is handed to the client, what a request gives up from the moment before
// the broker sees it. So a broker that keeps the rules is never accused.
package wire
