// Prints what Apache ZooKeeper's own classes make of the records that the tests know:
// "record NAME HEX", "path SEQUENTIAL HEX-OF-PATH MESSAGE", "digest INPUT ID".
// testdata/golden/README.md says how it is run.
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.MultiResponse;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.common.PathUtils;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.*;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

public class Golden {
    static String hex(byte[] b) {
        StringBuilder s = new StringBuilder();
        for (byte x : b) {
            s.append(String.format("%02x", x & 0xff));
        }
        return s.toString();
    }

    static void record(String name, Record r) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        r.serialize(BinaryOutputArchive.getArchive(out), "r");
        System.out.println("record " + name + " " + hex(out.toByteArray()));
    }

    static void path(String p) {
        for (boolean seq : new boolean[] {false, true}) {
            String message = "";
            try {
                PathUtils.validatePath(p, seq);
            } catch (IllegalArgumentException e) {
                message = hex(e.getMessage().getBytes(StandardCharsets.UTF_8));
            }
            System.out.println("path " + seq + " x" + hex(p.getBytes(StandardCharsets.UTF_8)) + " x" + message);
        }
    }

    static byte[] b(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static Stat stat() {
        return new Stat(0x100000001L, 0x100000002L, 1700000000001L, 1700000000002L, 3, -4, 5, 0x0200000000000007L, 6, 7, 0x100000008L);
    }

    public static void main(String[] args) throws Exception {
        List<ACL> open = Collections.singletonList(new ACL(31, new Id("world", "anyone")));
        List<ACL> two = Arrays.asList(new ACL(1, new Id("digest", "u:h=")), new ACL(-2, new Id("ip", "10.0.0.0/8")));
        byte[] pw = new byte[16];
        for (int i = 0; i < 16; i++) {
            pw[i] = (byte) (i * 17);
        }
        record("ConnectRequest", new ConnectRequest(0, 0x100000009L, 30000, 0x0100000000000002L, pw));
        record("ConnectResponse", new ConnectResponse(0, 40000, -2L, pw));
        record("RequestHeader", new RequestHeader(-8, 105));
        record("ReplyHeader", new ReplyHeader(7, 0x100000009L, -101));
        record("WatcherEvent", new WatcherEvent(4, 3, "/a/\u00fcber"));
        record("AuthPacket", new AuthPacket(0, "digest", b("user:password")));
        record("GetSASLRequest", new GetSASLRequest(b("token")));
        record("SetSASLResponse", new SetSASLResponse(null));
        record("SetWatches", new SetWatches(12, Arrays.asList("/d1", "/d2"), Arrays.asList("/e"), new ArrayList<String>()));
        record("SetWatches2", new SetWatches2(12, Arrays.asList("/d"), new ArrayList<String>(), Arrays.asList("/c"), Arrays.asList("/p"), Arrays.asList("/r", "/s")));
        record("CreateRequest", new CreateRequest("/a", b("data"), open, 3));
        record("CreateRequestNullData", new CreateRequest("/a", null, two, 0));
        record("CreateRequestNoData", new CreateRequest("/a", new byte[0], two, 0));
        record("CreateTTLRequest", new CreateTTLRequest("/a", b("d"), open, 6, 123456789012L));
        record("DeleteRequest", new DeleteRequest("/a", -1));
        record("CheckVersionRequest", new CheckVersionRequest("/a", 4));
        record("ExistsRequest", new ExistsRequest("/a", true));
        record("GetDataRequest", new GetDataRequest("/a", false));
        record("GetChildrenRequest", new GetChildrenRequest("/a", true));
        record("GetChildren2Request", new GetChildren2Request("/a", false));
        record("SetDataRequest", new SetDataRequest("/a", b("data"), 9));
        record("GetACLRequest", new GetACLRequest("/a"));
        record("SetACLRequest", new SetACLRequest("/a", two, 2));
        record("SyncRequest", new SyncRequest("/"));
        record("GetEphemeralsRequest", new GetEphemeralsRequest("/pre"));
        record("GetAllChildrenNumberRequest", new GetAllChildrenNumberRequest("/a"));
        record("ReconfigRequest", new ReconfigRequest("server.4=h:1:2;3", "2,3", null, 0x100000000L));
        record("ReconfigRequestAll", new ReconfigRequest(null, null, "server.1=h:1:2;3", -1));
        record("CheckWatchesRequest", new CheckWatchesRequest("/a", 1));
        record("RemoveWatchesRequest", new RemoveWatchesRequest("/a", 3));
        record("AddWatchRequest", new AddWatchRequest("/a", 1));
        record("CreateResponse", new CreateResponse("/a0000000001"));
        record("Create2Response", new Create2Response("/a", stat()));
        record("ExistsResponse", new ExistsResponse(stat()));
        record("SetDataResponse", new SetDataResponse(stat()));
        record("SetACLResponse", new SetACLResponse(stat()));
        record("SyncResponse", new SyncResponse("/"));
        record("GetDataResponse", new GetDataResponse(b("data"), stat()));
        record("GetDataResponseNull", new GetDataResponse(null, stat()));
        record("GetACLResponse", new GetACLResponse(two, stat()));
        record("GetChildrenResponse", new GetChildrenResponse(Arrays.asList("x", "", "z")));
        record("GetChildren2Response", new GetChildren2Response(new ArrayList<String>(), stat()));
        record("GetEphemeralsResponse", new GetEphemeralsResponse(Arrays.asList("/e1")));
        record("GetAllChildrenNumberResponse", new GetAllChildrenNumberResponse(42));
        record("ErrorResponse", new ErrorResponse(-110));
        record("WhoAmIResponse", new WhoAmIResponse(Arrays.asList(new ClientInfo("ip", "127.0.0.1"), new ClientInfo("digest", "u"))));

        MultiOperationRecord multi = new MultiOperationRecord();
        multi.add(Op.create("/m", b("1"), open, 0));
        multi.add(Op.create("/t", b("2"), open, CreateMode.PERSISTENT_WITH_TTL, 5000));
        multi.add(Op.create("/c", null, open, CreateMode.CONTAINER));
        multi.add(Op.delete("/d", 2));
        multi.add(Op.setData("/s", b("3"), -1));
        multi.add(Op.check("/k", 6));
        record("MultiRequest", multi);
        MultiOperationRecord reads = new MultiOperationRecord();
        reads.add(Op.getData("/g"));
        reads.add(Op.getChildren("/h"));
        record("MultiReadRequest", reads);
        record("MultiRequestEmpty", new MultiOperationRecord());

        MultiResponse ok = new MultiResponse();
        ok.add(new OpResult.CreateResult("/m"));
        ok.add(new OpResult.CreateResult("/t", stat()));
        ok.add(new OpResult.DeleteResult());
        ok.add(new OpResult.SetDataResult(stat()));
        ok.add(new OpResult.CheckResult());
        ok.add(new OpResult.GetDataResult(b("g"), stat()));
        ok.add(new OpResult.GetChildrenResult(Arrays.asList("c1", "c2")));
        record("MultiResponse", ok);
        MultiResponse failed = new MultiResponse();
        failed.add(new OpResult.ErrorResult(0));
        failed.add(new OpResult.ErrorResult(-110));
        failed.add(new OpResult.ErrorResult(-2));
        record("MultiResponseFailed", failed);

        String[] paths = {
            "", "a", "/", "//", "/a/", "/a", "/a/b", "/a//b", "/.", "/..", "/a/.", "/a/..", "/./a", "/../a", "/a/./b", "/a/../b", "/.a", "/..a", "/a.", "/a..",
            "/...", "/a/...", "/a/.../b", "/a/. ", "/\0", "/a\0b", "/a\u0001", "/a\u001f", "/a ", "/a\u007f", "/a\u009f", "/a\u00a0", "/\u00fc.", "/\u00fc\u00fc/..",
            "/\ud7ff", "/\ue000", "/\uf8ff", "/\uf900", "/\uffef", "/\ufff0", "/\ufffd", "/\uffff", "/\ud83d\ude00", "/a\ud83d\ude00b", "/a/\t", "/a\"b", "a//", " /a", "/a//", "/./", "/a/b/"
        };
        for (String p : paths) {
            path(p);
        }
        for (String d : new String[] {"user:password", "super:secret", "u:", "u", "a:b:c", ":", "\u00fc:\u00df"}) {
            System.out.println("digest " + d + " " + DigestAuthenticationProvider.generateDigest(d));
        }
    }
}
