// Package controller takes the decisions of the one elected broker: topics are created,
// enlarged and deleted, leaders chosen, producer ids handed out. It decides over the tree
// of package metadata and writes nothing else; what a decision means for logs is the
// business of replication, which follows the tree.
//
// The elected broker holds the ephemeral /controller. Each of its writes is one Multi that
// checks the version of /controller_epoch: a controller that lost its place without
// knowing cannot write (ErrNotController). Decisions are taken one at a time and from the
// image that holds the last one's result.
//
// Others write into the tree as well, Kafka's older tools for one: a topic's node without an
// id, more partitions, marks of topics to be deleted; an operator deletes /controller to have
// another one elected. The controller follows the image and completes, obeys and repairs
// (reconcile.go). What it cannot read it logs and leaves alone.
//
// A decision is one transaction where it fits in one (maxMultiBytes); a larger one is
// written so that the next controller finishes what was begun.
//
// Who calls: the composition root runs Prepare, Register and Start in this order;
// handlers of the broker call CreateTopics, DeleteTopics, CreatePartitions, AutoCreate,
// AlterConfigs, ElectLeaders, Reassign, UpdateFeatures and UnregisterBroker, and take
// producer ids from a ProducerIDs. Errors are *Error with a Kind that the broker
// maps to Kafka's codes.
//
// What settings a change makes, and whether they may be, a ConfigChange knows itself: the
// catalogue of keys lies above.
//
// Not here: reassignments that copy logs to other brokers.
package controller
