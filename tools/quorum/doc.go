// Package quorum is the commands around a server of the quorum: zkServer.sh with its words,
// lines, pid file and environment (ZOOCFGDIR, ZOOCFG, ZOO_LOG_DIR, ZOOPIDFILE,
// ZOO_DATADIR_AUTOCREATE_DISABLE), zkServer-initialize.sh and zkCleanup.sh.
//
// The server itself is not known here: who puts the program together hands in how to run one.
// Lines and exit codes are those of ZooKeeper's scripts, where scripts read them. What differs:
// start tells why a server did not start, start and stop wait for what they announce instead
// of a second, and a pid file is believed only if the process in it runs this program.
package quorum
