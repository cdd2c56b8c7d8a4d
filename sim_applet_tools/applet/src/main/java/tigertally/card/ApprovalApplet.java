package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.security.RandomData;

/**
 * The approval card: IoT SAFE commands, and a policy that stock IoT SAFE applets lack. The key of approvals signs
 * nothing but texts of one form, once for each VERIFY, and only after its holder has changed the transport PIN.
 *
 * <p>Written for Java Card 3.0.4 and up: no int, nothing allocated after installation, every lasting change of more
 * than one field in a transaction. Only one logical channel may have it selected at a time (it is not MultiSelectable),
 * so no validation can cross channels.
 *
 * <p>Source: docs/apdu.md, which says what each command answers and in which order it is refused; GSMA IoT.05.
 */
public final class ApprovalApplet extends Applet {
    private static final byte INS_VERIFY_PIN = 0x20;
    private static final byte INS_PUT_INIT_OR_CHANGE_PIN = 0x24;
    private static final byte INS_COMPUTE_INIT = 0x2A;
    private static final byte INS_COMPUTE_UPDATE = 0x2B;
    private static final byte INS_VERIFY_INIT_OR_UNBLOCK = 0x2C;
    private static final byte INS_VERIFY_UPDATE = 0x2D;
    private static final byte INS_COMPUTE_DH = 0x46;
    private static final byte INS_GET_RANDOM = (byte) 0x84;
    private static final byte INS_SELECT = (byte) 0xA4;
    private static final byte INS_READ_FILE = (byte) 0xB0;
    private static final byte INS_GENERATE = (byte) 0xB9;
    private static final byte INS_GET_DATA = (byte) 0xCB;
    private static final byte INS_READ_PUBLIC_KEY = (byte) 0xCD;
    private static final byte INS_PERSONALISE = (byte) 0xD2;
    private static final byte INS_WRITE_FILE = (byte) 0xD6;
    private static final byte INS_PUT_UPDATE = (byte) 0xD8;

    private static final byte P1_BY_NAME = 0x04;
    private static final byte P2_FIRST = 0x00;
    private static final byte P2_FIRST_NO_DATA = 0x0C;
    private static final byte TAG_SECRET_ID = (byte) 0x86;
    private static final byte TAG_SECRET_LABEL = 0x76;
    private static final byte PAGE_VERSION = 0x01;
    private static final byte FLAG_EMULATOR = 0x01;
    private static final short SW_CHAINING_NOT_SUPPORTED = 0x6884;

    private final byte flags;
    private final CommandData data = new CommandData();
    private final PinPolicy pins = new PinPolicy();
    private final KeyRing keys = new KeyRing(pins, data);
    private final CertificateFile file = new CertificateFile();
    private final SigningCommands signing = new SigningCommands(data, keys, pins);
    private final VerifyingCommands verifying = new VerifyingCommands(data, keys);
    private final KeyCommands keyCommands = new KeyCommands(data, keys, pins, signing, verifying);
    private final FileCommands fileCommands = new FileCommands(data, file, pins);
    private final PinCommands pinCommands = new PinCommands(data, keys, pins);
    private final RandomData random;

    // The names of 3.0.5 for random data are not there in 3.0.4.
    @SuppressWarnings("deprecation")
    private ApprovalApplet(byte flags) {
        this.flags = flags;
        random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
    }

    /**
     * Installs the applet. Application-specific data: nothing, or one byte of flags, of which only bit 0 may be set:
     * this is an emulator or simulator.
     */
    public static void install(byte[] parameters, short offset, byte length) {
        short control = (short) (offset + 1 + parameters[offset]);
        short data = (short) (control + 1 + parameters[control]);
        short count = (short) (parameters[data] & 0xFF);
        byte flags = 0;
        if (count > 1) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        if (count == 1) {
            flags = parameters[(short) (data + 1)];
        }
        if ((flags & ~FLAG_EMULATOR) != 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        ApprovalApplet applet = new ApprovalApplet(flags);
        applet.register(parameters, (short) (offset + 1), parameters[offset]);
    }

    /** Begins with nothing validated, open or volatile, also where the platform kept some of it over a power cut. */
    @Override
    public boolean select() {
        endVolatile();
        return true;
    }

    /** Ends what must not outlive the selection. */
    @Override
    public void deselect() {
        endVolatile();
    }

    private void endVolatile() {
        pins.endValidation();
        signing.close();
        verifying.close();
        keyCommands.endVolatile();
    }

    /** Runs a command; what it refuses, and in which order, stands in docs/apdu.md. */
    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] header = apdu.getBuffer();
        checkClass(header[ISO7816.OFFSET_CLA]);
        try {
            dispatch(apdu, header[ISO7816.OFFSET_INS], header[ISO7816.OFFSET_P1], header[ISO7816.OFFSET_P2]);
        } catch (ISOException refused) {
            throw refused;
        } catch (RuntimeException unexpected) {
            if (JCSystem.getTransactionDepth() != 0) {
                JCSystem.abortTransaction();
            }
            ISOException.throwIt(ISO7816.SW_UNKNOWN);
        }
    }

    private static void checkClass(byte cla) {
        if ((cla & 0x6C) != 0) {
            ISOException.throwIt(ISO7816.SW_CLA_NOT_SUPPORTED);
        }
        if ((cla & 0x10) != 0) {
            ISOException.throwIt(SW_CHAINING_NOT_SUPPORTED);
        }
    }

    private void dispatch(APDU apdu, byte ins, byte p1, byte p2) {
        switch (ins) {
            case INS_SELECT:
                refuseSelect(p1, p2);
                break;
            case INS_GET_DATA:
                getData(apdu, p1, p2);
                break;
            case INS_GENERATE:
                keyCommands.generate(apdu, p1, p2);
                break;
            case INS_READ_PUBLIC_KEY:
                keyCommands.readPublicKey(apdu, p1, p2);
                break;
            case INS_COMPUTE_INIT:
                signing.init(apdu, p1, p2);
                break;
            case INS_COMPUTE_UPDATE:
                signing.update(apdu, p1, p2);
                break;
            case INS_VERIFY_INIT_OR_UNBLOCK:
                if (p2 == Parameters.PIN) {
                    pinCommands.unblock(apdu, p1);
                } else {
                    verifying.init(apdu, p1, p2);
                }
                break;
            case INS_VERIFY_UPDATE:
                verifying.update(apdu, p1, p2);
                break;
            case INS_PUT_INIT_OR_CHANGE_PIN:
                if (p2 == Parameters.PIN) {
                    pinCommands.change(apdu, p1);
                } else {
                    keyCommands.putInit(apdu, p1, p2);
                }
                break;
            case INS_PUT_UPDATE:
                keyCommands.putUpdate(apdu, p1, p2);
                break;
            case INS_COMPUTE_DH:
                keyCommands.computeDh(apdu, p1, p2);
                break;
            case INS_GET_RANDOM:
                getRandom(apdu, p1, p2);
                break;
            case INS_READ_FILE:
                fileCommands.read(apdu, p1, p2);
                break;
            case INS_WRITE_FILE:
                fileCommands.write(apdu, p1, p2);
                break;
            case INS_VERIFY_PIN:
                pinCommands.verify(apdu, p1, p2);
                break;
            case INS_PERSONALISE:
                pinCommands.personalise(apdu, p1, p2);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    /** The platform hands a SELECT on when no applet has that AID; it ends the validation all the same. */
    private void refuseSelect(byte p1, byte p2) {
        endVolatile();
        if (p1 != P1_BY_NAME) {
            ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        if (p2 != P2_FIRST && p2 != P2_FIRST_NO_DATA) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
    }

    private void getData(APDU apdu, byte p1, byte p2) {
        Parameters.expectOnly(p2, (byte) 0);
        switch (p1) {
            case 0x00:
                CommandData.expectNoData(apdu);
                data.respond(apdu, writeApplicationData());
                break;
            case 0x01:
                CommandData.expectNoData(apdu);
                data.respond(apdu, writeObjectList());
                break;
            case (byte) 0xF0:
                CommandData.expectNoData(apdu);
                data.respond(apdu, writeCardState());
                break;
            case (byte) 0xC1:
                data.receiveReference(apdu, KeyRing.PRIVATE_ID, KeyRing.PRIVATE_LABEL);
                data.respond(apdu, keys.writePrivateInfo(keys.findPrivate((short) 0), (short) 0));
                break;
            case (byte) 0xC2:
                data.receiveReference(apdu, KeyRing.PUBLIC_ID, KeyRing.PUBLIC_LABEL);
                data.respond(apdu, keys.writePublicInfo(keys.findPublic((short) 0), (short) 0));
                break;
            case (byte) 0xC3:
                data.receiveReference(apdu, CertificateFile.TAG_ID, CertificateFile.TAG_LABEL);
                file.expectNamed(data.bytes);
                data.respond(apdu, file.writeInfo(data.bytes, (short) 0));
                break;
            case (byte) 0xC4:
                data.receiveReference(apdu, TAG_SECRET_ID, TAG_SECRET_LABEL);
                ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private short writeApplicationData() {
        short at = Tlv.putByte(data.bytes, (short) 0, (byte) 0x10, (byte) 0x01);
        data.bytes[at] = 0x11;
        byte aidLength = JCSystem.getAID().getBytes(data.bytes, (short) (at + 2));
        data.bytes[(short) (at + 1)] = aidLength;
        at = (short) (at + 2 + aidLength);
        at = Tlv.putByte(data.bytes, at, (byte) 0xB1, (byte) 0x01);
        at = Tlv.putByte(data.bytes, at, (byte) 0xB2, (byte) 0x03);
        at = Tlv.putByte(data.bytes, at, (byte) 0xB3, (byte) 0x04);
        at = Tlv.putByte(data.bytes, at, (byte) 0xB4, (byte) 0x00);
        at = Tlv.putByte(data.bytes, at, (byte) 0x90, (byte) 0x07);
        at = Tlv.putShort(data.bytes, at, OperationData.TAG_HASH, OperationData.SHA_256);
        at = Tlv.putByte(data.bytes, at, OperationData.TAG_ALGORITHM, OperationData.ECDSA);
        at = Tlv.putByte(data.bytes, at, (byte) 0x93, (byte) 0x01);
        at = Tlv.putByte(data.bytes, at, (byte) 0x94, (byte) 0x00);
        at = Tlv.putByte(data.bytes, at, (byte) 0xB7, (byte) 0x03);
        data.bytes[at] = (byte) 0xEF;
        data.bytes[(short) (at + 1)] = 9;
        at = Tlv.putByte(data.bytes, (short) (at + 2), (byte) 0x80, PAGE_VERSION);
        at = Tlv.putByte(data.bytes, at, (byte) 0x81, flags);
        return Tlv.putByte(data.bytes, at, (byte) 0x83, OperationData.FULL_TEXT);
    }

    private short writeObjectList() {
        return file.writeInfo(data.bytes, keys.writeList());
    }

    private short writeCardState() {
        short at = Tlv.putByte(data.bytes, (short) 0, (byte) 0xC0, pins.state());
        at = Tlv.putByte(data.bytes, at, (byte) 0xC1, pins.pinTries());
        at = Tlv.putByte(data.bytes, at, (byte) 0xC2, pins.pukTries());
        at = Tlv.put(data.bytes, at, (byte) 0xC3, signing.counter());
        return Tlv.putByte(data.bytes, at, (byte) 0xC4, flags);
    }

    @SuppressWarnings("deprecation")
    private void getRandom(APDU apdu, byte p1, byte p2) {
        Parameters.expectZero(p1, p2);
        CommandData.expectNoData(apdu);
        short wanted = apdu.setOutgoing();
        if (wanted < 1 || wanted > CommandData.MAX_ANSWER) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        random.generateData(data.bytes, (short) 0, wanted);
        data.send(apdu, wanted);
    }
}
