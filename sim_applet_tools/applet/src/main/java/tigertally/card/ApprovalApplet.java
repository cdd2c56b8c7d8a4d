package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.KeyAgreement;
import javacard.security.RandomData;
import javacard.security.Signature;

/**
 * The approval card: IoT SAFE commands, and a policy that stock IoT SAFE applets lack. The key of approvals signs nothing but
 * texts of one form, once for each VERIFY, and only after its holder has changed the transport PIN.
 *
 * <p>Written for Java Card 3.0.4 and up: no int, nothing allocated after installation, every lasting change of more than one
 * field in a transaction. Only one logical channel may have it selected at a time (it is not MultiSelectable), so no
 * validation can cross channels.
 *
 * <p>Source: docs/apdu.md, which says what each command answers and in which order it is refused; GSMA IoT.05.
 */
public final class ApprovalApplet extends Applet {
    private static final byte KEY_APPROVAL = 0x01;
    private static final byte KEY_DEVICE = 0x02;
    private static final byte KEY_SESSION = 0x03;
    private static final byte KEY_PEER = 0x04;
    private static final byte[] LABEL_APPROVAL = {'a', 'p', 'p', 'r', 'o', 'v', 'a', 'l'};
    private static final byte[] LABEL_DEVICE = {'d', 'e', 'v', 'i', 'c', 'e'};
    private static final byte[] LABEL_SESSION = {'s', 'e', 's', 's', 'i', 'o', 'n'};
    private static final byte[] LABEL_PEER = {'p', 'e', 'e', 'r'};
    private static final byte FUNCTION_SIGN_AND_VERIFY = 0x03;
    private static final byte FUNCTION_VERIFY = 0x01;
    private static final byte FUNCTION_GENERATE_AND_AGREE = 0x06;
    private static final byte FUNCTION_AGREE = 0x04;
    private static final byte FUNCTION_VERIFY_AND_AGREE = 0x05;

    private static final byte TAG_PRIVATE_ID = (byte) 0x84;
    private static final byte TAG_PRIVATE_LABEL = 0x74;
    private static final byte TAG_PUBLIC_ID = (byte) 0x85;
    private static final byte TAG_PUBLIC_LABEL = 0x75;
    private static final byte TAG_FILE_ID = (byte) 0x83;
    private static final byte TAG_FILE_LABEL = 0x73;
    private static final byte TAG_SECRET_ID = (byte) 0x86;
    private static final byte TAG_SECRET_LABEL = 0x76;
    private static final byte TAG_MODE = (byte) 0xA1;
    private static final byte TAG_HASH = (byte) 0x91;
    private static final byte TAG_ALGORITHM = (byte) 0x92;

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
    private static final byte P1_OPEN = 0x00;
    private static final byte P1_CLOSE = 0x01;
    private static final byte P1_MORE = 0x00;
    private static final byte P1_LAST = (byte) 0x80;
    private static final byte P2_PIN = (byte) 0x81;
    private static final byte LAST_SESSION = 0x03;

    private static final byte MODE_FULL_TEXT = 0x01;
    private static final byte MODE_PRE_HASHED = 0x03;
    private static final short HASH_SHA_256 = 0x0001;
    private static final byte ALGORITHM_ECDSA = 0x04;

    private static final byte PAGE_VERSION = 0x01;
    private static final byte FLAG_EMULATOR = 0x01;
    private static final byte FRESH_SIGNATURES = 3;
    private static final short MAX_ANSWER = 256;
    private static final short MAX_DATA = 255;
    private static final short PERSONALISATION_DATA = 20;
    private static final short SW_CHAINING_NOT_SUPPORTED = 0x6884;
    private static final short SW_REFERENCE_EMPTY = 0x6984;
    private static final short SW_SIGNATURE_WRONG = 0x6D01;
    private static final byte[] ZERO = {0, 0, 0, 0};
    private static final byte[] END = {(byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF};

    private final byte flags;
    private final PinPolicy pins = new PinPolicy();
    private final KeySlot approval;
    private final KeySlot device;
    private final KeySlot session;
    private final KeySlot peer;
    private final CertificateFile file = new CertificateFile();
    private final byte[] counter = new byte[4];

    private final SignatureSession signing = new SignatureSession();
    private final SignatureSession verifying = new SignatureSession();
    private final P256 curve = new P256();
    private final KeyAgreement agreement = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);
    private final RandomData random;

    /** Number of the open PUT session plus one; 0 when there is none. */
    private final byte[] putting;

    /** A command's data, then its answer: the APDU buffer need not hold 256 bytes. */
    private final byte[] work;

    // The names of 3.0.5 for random data are not there in 3.0.4.
    @SuppressWarnings("deprecation")
    private ApprovalApplet(byte flags) {
        this.flags = flags;
        random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        approval = new KeySlot(KEY_APPROVAL, LABEL_APPROVAL, false, FUNCTION_SIGN_AND_VERIFY, FUNCTION_VERIFY);
        device = new KeySlot(KEY_DEVICE, LABEL_DEVICE, false, FUNCTION_SIGN_AND_VERIFY, FUNCTION_VERIFY);
        session = new KeySlot(KEY_SESSION, LABEL_SESSION, true, FUNCTION_GENERATE_AND_AGREE, FUNCTION_AGREE);
        peer = new KeySlot(KEY_PEER, LABEL_PEER, true, (byte) 0, FUNCTION_VERIFY_AND_AGREE);
        putting = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
        work = JCSystem.makeTransientByteArray(MAX_ANSWER, JCSystem.CLEAR_ON_DESELECT);
    }

    /**
     * Installs the applet. Application-specific data: nothing, or one byte of flags, of which only bit 0 may be set: this is an
     * emulator or simulator.
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
        putting[0] = 0;
        session.clearVolatile();
        peer.clearVolatile();
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
                generate(apdu, p1, p2);
                break;
            case INS_READ_PUBLIC_KEY:
                readPublicKey(apdu, p1, p2);
                break;
            case INS_COMPUTE_INIT:
                computeInit(apdu, p1, p2);
                break;
            case INS_COMPUTE_UPDATE:
                computeUpdate(apdu, p1, p2);
                break;
            case INS_VERIFY_INIT_OR_UNBLOCK:
                if (p2 == P2_PIN) {
                    unblockPin(apdu, p1);
                } else {
                    verifyInit(apdu, p1, p2);
                }
                break;
            case INS_VERIFY_UPDATE:
                verifyUpdate(apdu, p1, p2);
                break;
            case INS_PUT_INIT_OR_CHANGE_PIN:
                if (p2 == P2_PIN) {
                    changePin(apdu, p1);
                } else {
                    putInit(apdu, p1, p2);
                }
                break;
            case INS_PUT_UPDATE:
                putUpdate(apdu, p1, p2);
                break;
            case INS_COMPUTE_DH:
                computeDh(apdu, p1, p2);
                break;
            case INS_GET_RANDOM:
                getRandom(apdu, p1, p2);
                break;
            case INS_READ_FILE:
                readFile(apdu, p1, p2);
                break;
            case INS_WRITE_FILE:
                writeFile(apdu, p1, p2);
                break;
            case INS_VERIFY_PIN:
                verifyPin(apdu, p1, p2);
                break;
            case INS_PERSONALISE:
                personalise(apdu, p1, p2);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    // ---- commands: what the card says of itself

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
        if (p2 != 0) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        switch (p1) {
            case 0x00:
                expectNoData(apdu);
                respond(apdu, writeApplicationData());
                break;
            case 0x01:
                expectNoData(apdu);
                respond(apdu, writeObjectList());
                break;
            case (byte) 0xF0:
                expectNoData(apdu);
                respond(apdu, writeCardState());
                break;
            case (byte) 0xC1:
                receiveReference(apdu, TAG_PRIVATE_ID, TAG_PRIVATE_LABEL);
                respond(apdu, writePrivateInfo(findPrivate((short) 0), (short) 0));
                break;
            case (byte) 0xC2:
                receiveReference(apdu, TAG_PUBLIC_ID, TAG_PUBLIC_LABEL);
                respond(apdu, writePublicInfo(findPublic((short) 0), (short) 0));
                break;
            case (byte) 0xC3:
                receiveReference(apdu, TAG_FILE_ID, TAG_FILE_LABEL);
                expectFile();
                respond(apdu, file.writeInfo(work, (short) 0));
                break;
            case (byte) 0xC4:
                receiveReference(apdu, TAG_SECRET_ID, TAG_SECRET_LABEL);
                ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private short writeApplicationData() {
        short at = Tlv.putByte(work, (short) 0, (byte) 0x10, (byte) 0x01);
        work[at] = 0x11;
        byte aidLength = JCSystem.getAID().getBytes(work, (short) (at + 2));
        work[(short) (at + 1)] = aidLength;
        at = (short) (at + 2 + aidLength);
        at = Tlv.putByte(work, at, (byte) 0xB1, (byte) 0x01);
        at = Tlv.putByte(work, at, (byte) 0xB2, (byte) 0x03);
        at = Tlv.putByte(work, at, (byte) 0xB3, (byte) 0x04);
        at = Tlv.putByte(work, at, (byte) 0xB4, (byte) 0x00);
        at = Tlv.putByte(work, at, (byte) 0x90, (byte) 0x07);
        at = Tlv.putShort(work, at, TAG_HASH, HASH_SHA_256);
        at = Tlv.putByte(work, at, TAG_ALGORITHM, ALGORITHM_ECDSA);
        at = Tlv.putByte(work, at, (byte) 0x93, (byte) 0x01);
        at = Tlv.putByte(work, at, (byte) 0x94, (byte) 0x00);
        at = Tlv.putByte(work, at, (byte) 0xB7, (byte) 0x03);
        work[at] = (byte) 0xEF;
        work[(short) (at + 1)] = 9;
        at = Tlv.putByte(work, (short) (at + 2), (byte) 0x80, PAGE_VERSION);
        at = Tlv.putByte(work, at, (byte) 0x81, flags);
        return Tlv.putByte(work, at, (byte) 0x83, MODE_FULL_TEXT);
    }

    private short writeObjectList() {
        short at = writePrivateInfo(approval, (short) 0);
        at = writePrivateInfo(device, at);
        at = writePrivateInfo(session, at);
        at = writePublicInfo(approval, at);
        at = writePublicInfo(device, at);
        at = writePublicInfo(session, at);
        at = writePublicInfo(peer, at);
        return file.writeInfo(work, at);
    }

    private short writeCardState() {
        short at = Tlv.putByte(work, (short) 0, (byte) 0xC0, pins.state());
        at = Tlv.putByte(work, at, (byte) 0xC1, pins.pinTries());
        at = Tlv.putByte(work, at, (byte) 0xC2, pins.pukTries());
        at = Tlv.put(work, at, (byte) 0xC3, counter);
        return Tlv.putByte(work, at, (byte) 0xC4, flags);
    }

    private short writePrivateInfo(KeySlot key, short offset) {
        byte access = 0x02;
        if (key != session && !isFresh()) {
            access = 0x00;
        }
        return key.writePrivateInfo(work, offset, access);
    }

    private short writePublicInfo(KeySlot key, short offset) {
        byte access = 0x01;
        if (key == peer) {
            access = 0x03;
        } else if (key == approval && !isFresh()) {
            access = 0x00;
        }
        return key.writePublicInfo(work, offset, access);
    }

    // ---- commands: keys

    private void generate(APDU apdu, byte p1, byte p2) {
        expectZero(p1, p2);
        receiveReference(apdu, TAG_PRIVATE_ID, TAG_PRIVATE_LABEL);
        KeySlot key = findPrivate((short) 0);
        if (key != session && !isFresh()) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        endSessionsOf(key);
        key.generate();
        // Pulled before this, the card has an empty key, and GENERATE may be repeated.
        JCSystem.beginTransaction();
        if (key == approval) {
            Util.arrayCopy(ZERO, (short) 0, counter, (short) 0, (short) counter.length);
        }
        key.markFilled();
        JCSystem.commitTransaction();
        short at = Tlv.putByte(work, (short) 0, TAG_PRIVATE_ID, key.id());
        at = Tlv.putByte(work, at, TAG_PUBLIC_ID, key.id());
        respond(apdu, key.writePublicKey(work, at));
    }

    private void endSessionsOf(KeySlot key) {
        if (signing.usesKey(key.id())) {
            signing.close();
            pins.endValidation();
        }
        if (verifying.usesKey(key.id())) {
            verifying.close();
        }
    }

    private void readPublicKey(APDU apdu, byte p1, byte p2) {
        expectZero(p1, p2);
        receiveReference(apdu, TAG_PUBLIC_ID, TAG_PUBLIC_LABEL);
        KeySlot key = findPublic((short) 0);
        expectFilled(key);
        // Read freely, it would be an identifier that everybody with access to the card shares.
        if (key == approval && !isFresh()) {
            expectValidated();
        }
        respond(apdu, key.writePublicKey(work, (short) 0));
    }

    private void putInit(APDU apdu, byte p1, byte p2) {
        expectOpenOrClose(p1);
        expectSession(p2);
        if (p1 == P1_CLOSE) {
            expectEmpty(receive(apdu));
            putting[0] = 0;
            return;
        }
        receiveReference(apdu, TAG_PUBLIC_ID, TAG_PUBLIC_LABEL);
        if (findPublic((short) 0) != peer || putting[0] != 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        putting[0] = (byte) (p2 + 1);
    }

    private void putUpdate(APDU apdu, byte p1, byte p2) {
        byte open = putting[0];
        putting[0] = 0;
        expectSession(p2);
        expectP1(p1, P1_LAST);
        short length = receiveSome(apdu);
        short point = KeySlot.expectPoint(work, length);
        if (!curve.isPoint(work, point)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        if (open != (byte) (p2 + 1)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (verifying.usesKey(KEY_PEER)) {
            verifying.close();
        }
        peer.put(work, point);
    }

    private void computeDh(APDU apdu, byte p1, byte p2) {
        expectZero(p1, p2);
        short length = receiveSome(apdu);
        short second = Reference.parse(work, (short) 0, length, TAG_PRIVATE_ID, TAG_PRIVATE_LABEL);
        short end = Reference.parse(work, second, length, TAG_PUBLIC_ID, TAG_PUBLIC_LABEL);
        Tlv.expectEnd(end, length);
        KeySlot own = findPrivate((short) 0);
        KeySlot other = findPublic(second);
        expectFilled(own);
        expectFilled(other);
        if (own != session || other != peer) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        agreement.init(session.privateKey());
        short point = P256.FIELD;
        peer.publicKey().getW(work, point);
        respond(apdu, agreement.generateSecret(work, point, P256.POINT, work, (short) 0));
    }

    @SuppressWarnings("deprecation")
    private void getRandom(APDU apdu, byte p1, byte p2) {
        expectZero(p1, p2);
        expectNoData(apdu);
        short wanted = apdu.setOutgoing();
        if (wanted < 1 || wanted > MAX_ANSWER) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        random.generateData(work, (short) 0, wanted);
        send(apdu, wanted);
    }

    // ---- commands: signatures

    private void computeInit(APDU apdu, byte p1, byte p2) {
        boolean goesOn = false;
        try {
            expectOpenOrClose(p1);
            expectSession(p2);
            if (p1 == P1_OPEN) {
                openSigning(apdu, p2);
            }
            goesOn = true;
        } finally {
            if (!goesOn) {
                pins.endValidation();
            }
        }
        if (p1 == P1_CLOSE) {
            expectEmpty(receive(apdu));
            if (signing.isOpen()) {
                signing.close();
                pins.endValidation();
            }
        }
    }

    private void openSigning(APDU apdu, byte p2) {
        byte mode = receiveInit(apdu, TAG_PRIVATE_ID, TAG_PRIVATE_LABEL);
        KeySlot key = findPrivate((short) 0);
        expectFilled(key);
        if (signing.isOpen() || mode != MODE_FULL_TEXT || key == session) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (key == approval) {
            expectCounterAllows();
            expectMaySign();
        }
        signing.open(p2, key.id(), key.privateKey(), Signature.MODE_SIGN);
    }

    /** Asked when a session opens and again at each UPDATE: a PIN or a state that is gone signs nothing. */
    private void expectMaySign() {
        if (pins.state() == PinPolicy.PERSONALISED) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (!isFresh()) {
            expectValidated();
        }
    }

    /** Refuses a fourth signature of a fresh key, and any once the counter is at its end. */
    private void expectCounterAllows() {
        boolean allows = !isFresh() || counter[3] < FRESH_SIGNATURES;
        if (!allows || Util.arrayCompare(counter, (short) 0, END, (short) 0, (short) END.length) == 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
    }

    private void computeUpdate(APDU apdu, byte p1, byte p2) {
        boolean goesOn = false;
        short answer = 0;
        try {
            answer = updateSigning(apdu, p1, p2);
            goesOn = p1 == P1_MORE;
        } finally {
            // One VERIFY, one signature: whatever became of it, the validation is over.
            if (!goesOn) {
                signing.close();
                pins.endValidation();
            }
        }
        if (!goesOn) {
            respond(apdu, answer);
        }
    }

    private short updateSigning(APDU apdu, byte p1, byte p2) {
        expectMoreOrLast(p1);
        expectSession(p2);
        short end = receiveSome(apdu);
        if (!signing.isOpen(p2)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        boolean ofApproval = signing.usesKey(KEY_APPROVAL);
        if (ofApproval) {
            expectMaySign();
        }
        short start = signing.enterText(work, end);
        short count = (short) (end - start);
        if (ofApproval) {
            ApprovalText.checkLength(isFresh(), signing.length());
        }
        if (count > signing.missing() || (p1 == P1_LAST && count != signing.missing())) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        if (ofApproval) {
            ApprovalText.check(isFresh(), work, start, count, signing.taken());
        }
        if (p1 == P1_MORE) {
            signing.take(work, start, count);
            return 0;
        }
        short answer = signing.sign(work, start, count, work);
        if (ofApproval) {
            countSignature();
        }
        return answer;
    }

    /** Counts, in one step, before the signature leaves the card; the counter is not at its end. */
    private void countSignature() {
        short scratch = MAX_ANSWER - 4;
        Util.arrayCopyNonAtomic(counter, (short) 0, work, scratch, (short) 4);
        short digit = 3;
        while (work[(short) (scratch + digit)] == (byte) 0xFF) {
            work[(short) (scratch + digit)] = 0;
            digit--;
        }
        work[(short) (scratch + digit)]++;
        Util.arrayCopy(work, scratch, counter, (short) 0, (short) 4);
    }

    private void verifyInit(APDU apdu, byte p1, byte p2) {
        expectOpenOrClose(p1);
        expectSession(p2);
        if (p1 == P1_CLOSE) {
            expectEmpty(receive(apdu));
            verifying.close();
            return;
        }
        byte mode = receiveInit(apdu, TAG_PUBLIC_ID, TAG_PUBLIC_LABEL);
        KeySlot key = findPublic((short) 0);
        expectFilled(key);
        if (verifying.isOpen() || mode != MODE_FULL_TEXT || key == approval || key == session) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        verifying.open(p2, key.id(), key.publicKey(), Signature.MODE_VERIFY);
    }

    private void verifyUpdate(APDU apdu, byte p1, byte p2) {
        boolean goesOn = false;
        boolean right = true;
        try {
            right = updateVerifying(apdu, p1, p2);
            goesOn = p1 == P1_MORE;
        } finally {
            if (!goesOn) {
                verifying.close();
            }
        }
        if (!right) {
            ISOException.throwIt(SW_SIGNATURE_WRONG);
        }
    }

    private boolean updateVerifying(APDU apdu, byte p1, byte p2) {
        expectMoreOrLast(p1);
        expectSession(p2);
        short end = receiveSome(apdu);
        if (!verifying.isOpen(p2)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        short start = verifying.enterText(work, end);
        short count = (short) (end - start);
        if (p1 == P1_MORE) {
            if (count > verifying.missing()) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
            verifying.take(work, start, count);
            return true;
        }
        if (count < verifying.missing()) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        count = verifying.missing();
        SignatureSession.checkSignatureField(work, (short) (start + count), end);
        return verifying.verify(work, start, count);
    }

    // ---- commands: file

    private void readFile(APDU apdu, byte p1, byte p2) {
        expectOffset(p1);
        receiveReference(apdu, TAG_FILE_ID, TAG_FILE_LABEL);
        expectFile();
        short wanted = apdu.setOutgoing();
        if (wanted < 1 || wanted > MAX_ANSWER) {
            wanted = MAX_ANSWER;
        }
        send(apdu, file.read(Util.makeShort(p1, p2), wanted, work));
    }

    private void writeFile(APDU apdu, byte p1, byte p2) {
        expectOffset(p1);
        short offset = Util.makeShort(p1, p2);
        short length = receiveSome(apdu);
        short at = Reference.parse(work, (short) 0, length, TAG_FILE_ID, TAG_FILE_LABEL);
        short size = 0;
        if (offset == 0) {
            at = Tlv.expect(work, at, length, (byte) 0x20, (short) 2);
            size = Util.getShort(work, at);
            CertificateFile.checkSize(size);
            at = (short) (at + 2);
        }
        short bytes = Tlv.expectTag(work, at, length, (byte) 0x53);
        short count = Tlv.length(work, (short) (at + 1), length);
        if (count < 1 || count != (short) (length - bytes)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        expectFile();
        if (!isFresh()) {
            expectValidated();
        }
        file.write(offset, size, work, bytes, count);
    }

    // ---- commands: PIN

    private void verifyPin(APDU apdu, byte p1, byte p2) {
        expectP1(p1, (byte) 0x00);
        if (p2 != P2_PIN) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        short length = receive(apdu);
        if (length == 0) {
            pins.verifyState();
            return;
        }
        pins.endValidation();
        expectLength(length, PinPolicy.LENGTH);
        try {
            pins.verify(work, (short) 0);
        } finally {
            wipeSecrets(apdu);
        }
    }

    private void changePin(APDU apdu, byte p1) {
        expectP1(p1, (byte) 0x00);
        pins.endValidation();
        expectLength(receive(apdu), (short) (2 * PinPolicy.LENGTH));
        try {
            pins.change(work);
        } finally {
            wipeSecrets(apdu);
        }
    }

    private void unblockPin(APDU apdu, byte p1) {
        expectP1(p1, (byte) 0x00);
        pins.endValidation();
        expectLength(receive(apdu), (short) (2 * PinPolicy.LENGTH));
        try {
            pins.unblock(work);
        } finally {
            wipeSecrets(apdu);
        }
    }

    private void personalise(APDU apdu, byte p1, byte p2) {
        expectZero(p1, p2);
        short length = receive(apdu);
        expectLength(length, PERSONALISATION_DATA);
        try {
            short pin = Tlv.expect(work, (short) 0, length, (byte) 0xC0, PinPolicy.LENGTH);
            short next = (short) (pin + PinPolicy.LENGTH);
            short puk = Tlv.expect(work, next, length, (byte) 0xC1, PinPolicy.LENGTH);
            PinPolicy.checkPinForm(work, pin);
            PinPolicy.checkPukForm(work, puk);
            if (!isFresh() || !approval.isFilled()) {
                ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
            }
            pins.personalise(work, pin, puk);
        } finally {
            wipeSecrets(apdu);
        }
    }

    /** A PIN does not stay in memory that another applet or a later answer may see. */
    private void wipeSecrets(APDU apdu) {
        Util.arrayFillNonAtomic(work, (short) 0, (short) work.length, (byte) 0);
        byte[] buffer = apdu.getBuffer();
        Util.arrayFillNonAtomic(buffer, (short) 0, (short) buffer.length, (byte) 0);
    }

    // ---- conditions

    private boolean isFresh() {
        return pins.state() == PinPolicy.FRESH;
    }

    private void expectValidated() {
        if (!pins.isValidated()) {
            ISOException.throwIt(ISO7816.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
    }

    private static void expectFilled(KeySlot key) {
        if (!key.isFilled()) {
            ISOException.throwIt(SW_REFERENCE_EMPTY);
        }
    }

    private static void expectZero(byte p1, byte p2) {
        if (p1 != 0 || p2 != 0) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void expectP1(byte p1, byte only) {
        if (p1 != only) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void expectOpenOrClose(byte p1) {
        if (p1 != P1_OPEN && p1 != P1_CLOSE) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void expectMoreOrLast(byte p1) {
        if (p1 != P1_MORE && p1 != P1_LAST) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void expectSession(byte p2) {
        if (p2 < 0 || p2 > LAST_SESSION) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void expectOffset(byte p1) {
        if (p1 < 0) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void expectLength(short length, short only) {
        if (length != only) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
    }

    private static void expectEmpty(short length) {
        expectLength(length, (short) 0);
    }

    private void expectFile() {
        if (!file.isNamedBy(work, (short) 0)) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
    }

    private KeySlot findPrivate(short reference) {
        if (isNamed(reference, TAG_PRIVATE_ID, approval)) {
            return approval;
        }
        if (isNamed(reference, TAG_PRIVATE_ID, device)) {
            return device;
        }
        if (!isNamed(reference, TAG_PRIVATE_ID, session)) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
        return session;
    }

    private KeySlot findPublic(short reference) {
        if (isNamed(reference, TAG_PUBLIC_ID, approval)) {
            return approval;
        }
        if (isNamed(reference, TAG_PUBLIC_ID, device)) {
            return device;
        }
        if (isNamed(reference, TAG_PUBLIC_ID, session)) {
            return session;
        }
        if (!isNamed(reference, TAG_PUBLIC_ID, peer)) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
        return peer;
    }

    private boolean isNamed(short reference, byte tagId, KeySlot key) {
        return Reference.isOf(work, reference, tagId, key.id(), key.label());
    }

    // ---- data in and out

    /** Reads a command's data into {@link #work} and returns its length, 0 to 255. */
    private short receive(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short count = apdu.setIncomingAndReceive();
        short length = apdu.getIncomingLength();
        if (length < 0 || length > MAX_DATA) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        short from = apdu.getOffsetCdata();
        short at = 0;
        while (count > 0) {
            at = Util.arrayCopyNonAtomic(buffer, from, work, at, count);
            if (at >= length) {
                break;
            }
            count = apdu.receiveBytes(from);
        }
        expectLength(at, length);
        return length;
    }

    /** As {@link #receive}; 6700 where there is nothing. */
    private short receiveSome(APDU apdu) {
        short length = receive(apdu);
        if (length == 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        return length;
    }

    /** Reads data that is one reference and nothing else. */
    private void receiveReference(APDU apdu, byte tagId, byte tagLabel) {
        short length = receiveSome(apdu);
        Tlv.expectEnd(Reference.parse(work, (short) 0, length, tagId, tagLabel), length);
    }

    /** Reads the data of an INIT of a signature: reference, mode, hash, algorithm; returns the mode. */
    private byte receiveInit(APDU apdu, byte tagId, byte tagLabel) {
        short length = receiveSome(apdu);
        short at = Reference.parse(work, (short) 0, length, tagId, tagLabel);
        at = Tlv.expect(work, at, length, TAG_MODE, (short) 1);
        byte mode = work[at];
        at = Tlv.expect(work, (short) (at + 1), length, TAG_HASH, (short) 2);
        short hash = Util.getShort(work, at);
        at = Tlv.expect(work, (short) (at + 2), length, TAG_ALGORITHM, (short) 1);
        byte algorithm = work[at];
        Tlv.expectEnd((short) (at + 1), length);
        if (mode < MODE_FULL_TEXT || mode > MODE_PRE_HASHED || hash != HASH_SHA_256 || algorithm != ALGORITHM_ECDSA) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return mode;
    }

    /**
     * Refuses data (6700) where the command has none. Under T=0 the fifth byte of such a command is Le and no data can come, and
     * asking the platform for some would hang.
     */
    private static void expectNoData(APDU apdu) {
        if ((byte) (APDU.getProtocol() & APDU.PROTOCOL_TYPE_MASK) != APDU.PROTOCOL_T0) {
            expectEmpty(apdu.setIncomingAndReceive());
        }
    }

    private void respond(APDU apdu, short length) {
        apdu.setOutgoing();
        send(apdu, length);
    }

    private void send(APDU apdu, short length) {
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(work, (short) 0, length);
    }
}
