/* Uses ZooKeeper's C client: calls, a watch, a multi, and a session that outlives the server
 * it is on. Prints "ok NAME" or "FAIL NAME REASON"; before the last part it prints "ready" and
 * reads a line, by when its server has been killed. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected, expired, event_type;

static void session(zhandle_t *zh, int type, int state, const char *path, void *ctx) {
	(void)zh, (void)path, (void)ctx;
	pthread_mutex_lock(&mu);
	if (type == ZOO_SESSION_EVENT) {
		connected = state == ZOO_CONNECTED_STATE;
		expired |= state == ZOO_EXPIRED_SESSION_STATE;
	}
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mu);
}

static void watched(zhandle_t *zh, int type, int state, const char *path, void *ctx) {
	(void)zh, (void)state, (void)path, (void)ctx;
	pthread_mutex_lock(&mu);
	if (type != ZOO_SESSION_EVENT) event_type = type;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mu);
}

static void await(int *what) {
	pthread_mutex_lock(&mu);
	while (!*what) pthread_cond_wait(&changed, &mu);
	pthread_mutex_unlock(&mu);
}

static int failures;

static void check(const char *name, int rc, int want) {
	if (rc == want) {
		printf("ok %s\n", name);
	} else {
		printf("FAIL %s code %d (%s), want %d\n", name, rc, zerror(rc), want);
		failures++;
	}
	fflush(stdout);
}

/* retried calls go on through a change of servers. */
#define RETRY(rc, call) do { rc = (call); if (rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT) usleep(20000); } while (rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT)

int main(int argc, char **argv) {
	char buf[4096], line[16];
	struct Stat stat;
	struct String_vector names;
	int len, rc;
	if (argc != 2) return 2;
	zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
	zhandle_t *zh = zookeeper_init(argv[1], session, 20000, 0, 0, 0);
	if (!zh) return 1;
	await(&connected);
	check("create", zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, buf, sizeof buf), ZOK);
	check("create_again", zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, buf, sizeof buf), ZNODEEXISTS);
	check("create_sequence", zoo_create2(zh, "/c/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, buf, sizeof buf, &stat), ZOK);
	check("name_of_sequence", strcmp(buf, "/c/s-0000000000"), 0);
	len = sizeof buf;
	check("get_and_watch", zoo_wget(zh, "/c", watched, 0, buf, &len, &stat), ZOK);
	check("data", len == 3 && !memcmp(buf, "one", 3), 1);
	check("set_wrong_version", zoo_set(zh, "/c", "two", 3, 7), ZBADVERSION);
	check("set", zoo_set2(zh, "/c", "two", 3, 0, &stat), ZOK);
	check("version", stat.version, 1);
	await(&event_type);
	check("event", event_type, ZOO_CHANGED_EVENT);
	check("children", zoo_get_children2(zh, "/c", 0, &names, &stat), ZOK);
	check("number_of_children", names.count, 1);
	deallocate_String_vector(&names);
	zoo_op_t ops[4];
	zoo_op_result_t results[4];
	char path[64];
	zoo_create_op_init(&ops[0], "/c/m", "m", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, path, sizeof path);
	zoo_set_op_init(&ops[1], "/c", "three", 5, 1, &stat);
	zoo_check_op_init(&ops[2], "/c", 2);
	zoo_delete_op_init(&ops[3], "/c/s-0000000000", -1);
	check("multi", zoo_multi(zh, 4, ops, results), ZOK);
	check("multi_again", zoo_multi(zh, 4, ops, results), ZNODEEXISTS);
	check("multi_result", results[1].err, ZRUNTIMEINCONSISTENCY);
	check("exists_not", zoo_exists(zh, "/none", 0, &stat), ZNONODE);
	check("delete_not_empty", zoo_delete(zh, "/c", -1), ZNOTEMPTY);

	int64_t id = zoo_client_id(zh)->client_id;
	event_type = 0;
	len = sizeof buf;
	check("watch_before_the_kill", zoo_wget(zh, "/c", watched, 0, buf, &len, &stat), ZOK);
	printf("ready %d\n", 0);
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin)) return 1;
	RETRY(rc, zoo_exists(zh, "/c/m", 0, &stat));
	check("ephemeral_is_there", rc, ZOK);
	check("same_session", zoo_client_id(zh)->client_id == id && stat.ephemeralOwner == id && !expired, 1);
	RETRY(rc, zoo_set(zh, "/c", "four", 4, -1));
	check("set_after_the_kill", rc, ZOK);
	await(&event_type);
	check("event_after_the_kill", event_type, ZOO_CHANGED_EVENT);
	zookeeper_close(zh);
	return failures != 0;
}
