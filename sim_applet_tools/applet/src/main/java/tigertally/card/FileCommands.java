package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** READ FILE and WRITE FILE. */
final class FileCommands {
    private final CommandData data;
    private final CertificateFile file;
    private final PinPolicy pins;

    FileCommands(CommandData data, CertificateFile file, PinPolicy pins) {
        this.data = data;
        this.file = file;
        this.pins = pins;
    }

    void read(APDU apdu, byte p1, byte p2) {
        Parameters.expectOffset(p1);
        data.receiveReference(apdu, CertificateFile.TAG_ID, CertificateFile.TAG_LABEL);
        file.expectNamed(data.bytes);
        short wanted = apdu.setOutgoing();
        if (wanted < 1 || wanted > CommandData.MAX_ANSWER) {
            wanted = CommandData.MAX_ANSWER;
        }
        data.send(apdu, file.read(Util.makeShort(p1, p2), wanted, data.bytes));
    }

    void write(APDU apdu, byte p1, byte p2) {
        Parameters.expectOffset(p1);
        short offset = Util.makeShort(p1, p2);
        short length = data.receiveSome(apdu);
        short at = Reference.parse(data.bytes, (short) 0, length, CertificateFile.TAG_ID, CertificateFile.TAG_LABEL);
        short size = 0;
        if (offset == 0) {
            at = Tlv.expect(data.bytes, at, length, (byte) 0x20, (short) 2);
            size = Util.getShort(data.bytes, at);
            CertificateFile.checkSize(size);
            at = (short) (at + 2);
        }
        short bytes = Tlv.expectTag(data.bytes, at, length, (byte) 0x53);
        short count = Tlv.length(data.bytes, (short) (at + 1), length);
        if (count < 1 || count != (short) (length - bytes)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        file.expectNamed(data.bytes);
        if (!pins.isFresh()) {
            pins.expectValidated();
        }
        file.write(offset, size, data.bytes, bytes, count);
    }
}
