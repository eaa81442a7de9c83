package org.kith;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a program in Java does with the library, without anything of Kotlin's. */
@Timeout(120)
final class JavaCallerTest {
    private static final class Echo extends Application {
        @Override
        public byte[] execute(Call call, State state) throws Exception {
            if (call.getMethod().equals("checked")) {
                throw new java.io.IOException("of the arguments");
            }
            if (call.getMethod().equals("refuse")) {
                throw new IllegalArgumentException("no");
            }
            state.put(StateKey.of("java", "last"), call.getArguments());
            return call.getArguments();
        }
    }

    private static NodeOptions loopback() {
        NodeOptions options = new NodeOptions();
        options.setListen(List.of("/ip4/127.0.0.1/tcp/0"));
        options.setDiscovery(false);
        return options;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void aDirectoryIsSealedAndExported(@TempDir Path folder) {
        StorageKey key = StorageKey.of(new byte[32]);
        StorageKey other = StorageKey.passphrase("a passphrase");
        NodeOptions options = loopback();
        options.setStorageKey(key);
        Id id;
        try (BlockingNode node = BlockingNode.open(folder.resolve("node"), options)) {
            BlockingContext context = node.createContext("kv", new byte[0], "", Encryption.X_WING);
            context.put(StateKey.of("notes", "today"), bytes("buy milk"));
            id = context.getId();
            assertEquals(Encryption.X_WING, context.security().getSuite());
            node.changeStorageKey(other);
            assertTrue(node.export(folder.resolve("backup"), key).getRecords() > 0);
        }
        assertThrows(KithException.KeyRequired.class, () -> BlockingNode.open(folder.resolve("node"), options));
        BlockingNode.importFrom(folder.resolve("backup"), key, folder.resolve("restored"));
        BlockingNode.adopt(folder.resolve("restored"));
        try (BlockingNode node = BlockingNode.open(folder.resolve("restored"), loopback())) {
            assertArrayEquals(bytes("buy milk"), node.context(id).get(StateKey.of("notes", "today")));
            node.context(id).put(StateKey.of("notes", "today"), bytes("bread"));
        }
    }

    @Test
    void twoNodesShareAContext(@TempDir Path folder) throws Exception {
        try (BlockingNode one = BlockingNode.open(folder.resolve("one"), loopback());
                BlockingNode other = BlockingNode.open(null, loopback())) {
            BlockingContext mine = one.createContext("kv", new byte[0], "from Java");
            StateKey key = StateKey.of("notes", "today");
            assertNull(mine.get(key));
            mine.put(key, bytes("buy milk"));
            BlockingContext theirs = other.join(mine.invite().getText());
            assertEquals("from Java", theirs.getName());
            assertArrayEquals(bytes("buy milk"), theirs.get(key));
            try (BlockingEvents events = theirs.subscribe()) {
                mine.add(StateKey.of("notes", "count"), 1);
                Event event = events.next(Duration.ofSeconds(60));
                while (!(event instanceof Event.Changed)) {
                    event = events.next(Duration.ofSeconds(60));
                }
                assertTrue(((Event.Changed) event).getKeys().contains(StateKey.of("notes", "count")));
                assertNull(events.next(Duration.ofMillis(1)));
            }
            assertEquals(2, mine.members().size());
            assertEquals(Role.WRITER, theirs.getRole());
            theirs.waitSynced();
            assertEquals(mine.commitment(), theirs.commitment());
        }
    }

    @Test
    void failuresAreTypedAndApplicationsAreJava() {
        BlockingNode node = BlockingNode.open(null, loopback());
        node.register("echo", new Echo());
        BlockingContext context = node.createContext("echo");
        assertArrayEquals(bytes("ho"), context.execute("say", bytes("ho")).getOutput());
        KithException refused = assertThrows(KithException.Rejected.class, () -> context.execute("refuse"));
        assertEquals(ErrorKind.REJECTED, refused.getKind());
        assertTrue(refused.getMessage().contains("IllegalArgumentException: no"), refused.getMessage());
        assertThrows(KithException.Rejected.class, () -> context.execute("checked"));
        String caught;
        try {
            node.context(new Id(new byte[32]));
            caught = "nothing";
        } catch (KithException.NotFound missing) {
            caught = missing.getKind().name();
        }
        assertEquals("NOT_FOUND", caught);
        assertThrows(KithException.InvalidArgument.class, () -> new StateKey(new byte[3]));
        node.close();
        assertThrows(KithException.Closed.class, context::status);
    }

    @Test
    void aNodeRestsAndIsLookedAt(@TempDir Path folder) throws Exception {
        NodeOptions options = loopback();
        options.setStorage(StorageEngine.REDB);
        try (BlockingNode node = BlockingNode.open(folder.resolve("node"), options)) {
            BlockingContext context = node.createContext();
            StateKey key = StateKey.of("notes", "today");
            context.put(key, bytes("buy milk"));
            assertEquals(StorageEngine.REDB, node.status().getStorage());
            node.suspend(Duration.ofSeconds(60));
            assertTrue(node.isSuspended());
            assertThrows(KithException.Closed.class, () -> context.get(key));
            node.resume();
            assertEquals(List.of(context.getId()), node.syncOnce(Duration.ofSeconds(1)).getBehind());
            assertNull(context.verify().getDifference());
            assertEquals(Written.VALUE, context.explain(key).get(0).getWritten());
            context.rotateKeys();
        }
    }

    @Test
    void interruptingEndsAWait() throws Exception {
        try (BlockingNode node = BlockingNode.open(null, loopback())) {
            BlockingContext context = node.createContext();
            AtomicReference<Throwable> outcome = new AtomicReference<>();
            AtomicBoolean interrupted = new AtomicBoolean();
            CountDownLatch begun = new CountDownLatch(1);
            Thread waiting = new Thread(() -> {
                try {
                    begun.countDown();
                    context.waitSynced(Duration.ofHours(1));
                } catch (Throwable error) {
                    interrupted.set(Thread.currentThread().isInterrupted());
                    outcome.set(error);
                }
            });
            waiting.start();
            begun.await();
            waiting.interrupt();
            waiting.join();
            assertInstanceOf(KithException.Cancelled.class, outcome.get());
            assertTrue(interrupted.get());
        }
    }

    @Test
    void anInterruptedThreadBeginsNoReading() throws Exception {
        try (BlockingNode node = BlockingNode.open(null, loopback())) {
            BlockingContext context = node.createContext();
            StateKey key = StateKey.of("shopping", "milk");
            context.put(key, new byte[] {1});
            Thread.currentThread().interrupt();
            assertThrows(KithException.Cancelled.class, () -> context.get(key));
            assertTrue(Thread.interrupted());
            assertArrayEquals(new byte[] {1}, context.get(key));
            assertEquals(1, context.entries().size());
        }
    }
}
