package tigertally.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.tree.ClassNode;

/** The applet's class files keep to what a card can run. */
class CardSubsetTest {
    private static final String PACKAGE = "tigertally/card/";

    @Test
    void theAppletKeepsToIt() throws IOException {
        CardSubset subset = new CardSubset(PACKAGE);
        List<Path> files;
        try (Stream<Path> all = Files.list(Paths.get("target/classes", PACKAGE))) {
            files = all.filter(each -> each.toString().endsWith(".class")).collect(Collectors.toList());
        }
        assertTrue(files.size() >= 9, files::toString);
        for (Path each : files) {
            subset.check(read(Files.readAllBytes(each)));
        }
        assertEquals(Collections.emptyList(), subset.found());
    }

    @Test
    void whatACardCannotRunIsFound() {
        for (String method : Arrays.asList(
                "shiftsASum", "comparesASum", "indexesByASum", "divides", "allocates", "countsInInt", "speaks",
                "takesLong", "callsTheLibrary", "returnsChar", "shiftsUnsigned", "usesABigConstant")) {
            ClassNode type = read(bytesOf(Uncardlike.class));
            type.methods.removeIf(each -> !each.name.equals(method));
            assertEquals(1, type.methods.size(), method);
            CardSubset subset = new CardSubset(PACKAGE);
            subset.check(type);
            assertTrue(!subset.found().isEmpty(), method);
        }
    }

    /** One thing each that compiles, and runs in a simulator. */
    @SuppressWarnings("unused")
    private static final class Uncardlike {
        static short shiftsASum(short a, short b) {
            return (short) ((a + b) >> 1);
        }

        static boolean comparesASum(short a, short b) {
            return a + b > 0;
        }

        static byte indexesByASum(byte[] bytes, short a) {
            return bytes[a + 1];
        }

        static short divides(short a, short b) {
            return (short) ((a * b) / 3);
        }

        static byte[] allocates() {
            return new byte[1];
        }

        static void countsInInt(byte[] bytes) {
            for (int i = 0; i < 2; i++) {
                bytes[0] = 0;
            }
        }

        static Object speaks() {
            return "text";
        }

        static void takesLong(long number) {
        }

        static short callsTheLibrary(short a) {
            return (short) Math.abs(a);
        }

        static char returnsChar() {
            return 'a';
        }

        static short shiftsUnsigned(short a) {
            return (short) (a >>> 1);
        }

        static short usesABigConstant(short a) {
            return (short) (a & 0x12345);
        }
    }

    private static ClassNode read(byte[] bytes) {
        ClassNode type = new ClassNode();
        new ClassReader(bytes).accept(type, 0);
        return type;
    }

    private static byte[] bytesOf(Class<?> type) {
        try (InputStream in = type.getResourceAsStream("/" + type.getName().replace('.', '/') + ".class")) {
            return in.readAllBytes();
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }
}
