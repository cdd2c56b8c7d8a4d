package tigertally.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A card that is kept in a file: what lasts, what must not, and who may read it. */
class CardRuntimeTest {
    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void nameFile() {
        file = folder.resolve("card");
    }

    @Test
    void keysPinAndCounterLastAndTheValidationDoesNot() throws IOException, GeneralSecurityException {
        Card card = new Card(file);
        byte[] point = card.inUse();
        card.expect("0020008108" + Card.PIN, "63C2");
        card = new Card(file);
        card.expect("80CBF00000", "C00103C10102C2010AC30400000000C401019000");
        card.verifyPin();
        card.expect(Card.OPEN_APPROVAL, "9000");
        // Power goes between INIT and UPDATE, with everything in the file.
        card = new Card(file);
        card.expect(Card.update(true, Card.text(Card.APPROVAL)), "6985");
        card.expect("00200081", "63C3");
        card.verifyPin();
        card.expect(Card.OPEN_APPROVAL, "9000");
        byte[] answer = card.data(Card.update(true, Card.text(Card.APPROVAL)));
        assertTrue(Curve.verify(point, Card.APPROVAL, Arrays.copyOfRange(answer, 2, 66)));
        new Card(file).expect("80CBF00000", "C00103C10103C2010AC30400000001C401019000");
    }

    @Test
    void volatileKeysGoWithThePower() throws IOException {
        Card card = new Card(file);
        card.generate(3);
        card.data("80CD000003850103");
        new Card(file).expect("80CD000003850103", "6984");
    }

    @Test
    void signaturesOfACardThatWasReadBackShareNoNonce() throws IOException {
        new Card(file).inUse();
        String[] nonces = new String[4];
        for (int i = 0; i < nonces.length; i++) {
            Card card = new Card(file);
            card.expect(Card.OPEN_DEVICE, "9000");
            nonces[i] = Card.hexOf(card.data(Card.update(true, Card.text("same")))).substring(4, 68);
        }
        assertEquals(nonces.length, Arrays.stream(nonces).distinct().count());
    }

    @Test
    void theFileIsItsOwnersAlone() throws IOException {
        new Card(file);
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw-r--"));
        new Card(file).generate(1);
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        assertFalse(Files.exists(folder.resolve("card.next")));
    }

    @Test
    void aWriteThatWasCutLeavesTheCardBefore() throws IOException {
        byte[] point = new Card(file).generate(1);
        Files.write(folder.resolve("card.next"), new byte[] {1, 2, 3});
        Card card = new Card(file);
        card.expect("80CD000003850101", "344549438641" + Card.hexOf(point) + "9000");
        card.personalise();
        new Card(file).expect("80CBF00000", "C00102C10103C2010AC30400000000C401019000");
    }

    @Test
    void aFileThatIsNoCardIsRefused() throws IOException {
        Files.write(file, new byte[] {1, 2, 3});
        IOException refused = assertThrows(IOException.class, () -> new Card(file));
        assertTrue(refused.getMessage().contains("is not a card of this version"));
    }

    @Test
    void twoCardsAreTwo() throws IOException {
        Card one = new Card(file);
        Card two = new Card(folder.resolve("other"));
        one.generate(1);
        two.expect("80CD000003850101", "6984");
        one.data("80CD000003850101");
    }
}
