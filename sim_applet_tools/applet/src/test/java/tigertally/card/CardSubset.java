package tigertally.card;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.FieldNode;
import org.objectweb.asm.tree.IincInsnNode;
import org.objectweb.asm.tree.LdcInsnNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.MultiANewArrayInsnNode;
import org.objectweb.asm.tree.TypeInsnNode;
import org.objectweb.asm.tree.analysis.Analyzer;
import org.objectweb.asm.tree.analysis.AnalyzerException;
import org.objectweb.asm.tree.analysis.BasicInterpreter;
import org.objectweb.asm.tree.analysis.BasicValue;

/**
 * Finds what a card cannot run, in class files: a converter would find it too, but may not be redistributed. Types
 * other than boolean, byte, short and references; allocation outside installation; calls outside the Java Card API; and
 * the one that compiles and runs in a simulator and answers otherwise on a card: arithmetic whose result depends on 32
 * bits.
 *
 * <p>Source: Java Card 3.0.4 Virtual Machine Specification, chapter 2 (a subset of the Java language).
 */
final class CardSubset {
    private static final Set<String> INSTALLING =
        new HashSet<>(Arrays.asList("<init>", "<clinit>", "install", "buildPrivateKey"));
    private static final Set<String> ALLOCATING =
        new HashSet<>(Arrays.asList("makeTransientByteArray", "makeTransientShortArray", "makeTransientBooleanArray",
            "makeTransientObjectArray", "getInstance", "buildKey"));

    private final String cardPackage;
    private final List<String> found = new ArrayList<>();

    /** @param cardPackage with slashes, whose classes may call each other */
    CardSubset(String cardPackage) {
        this.cardPackage = cardPackage;
    }

    /** What was found so far, one line each. */
    List<String> found() {
        return found;
    }

    void check(ClassNode type) {
        for (FieldNode field : type.fields) {
            checkType(Type.getType(field.desc), type.name + "." + field.name);
        }
        for (MethodNode method : type.methods) {
            String place = type.name + "." + method.name;
            checkDescriptor(method.desc, place);
            for (AbstractInsnNode each : method.instructions) {
                checkInstruction(each, method, place);
            }
            try {
                new Analyzer<>(new Widths(place)).analyze(type.name, method);
            } catch (AnalyzerException broken) {
                found.add(place + ": " + broken.getMessage());
            }
        }
    }

    private void checkDescriptor(String descriptor, String place) {
        checkType(Type.getReturnType(descriptor), place);
        for (Type each : Type.getArgumentTypes(descriptor)) {
            checkType(each, place);
        }
    }

    private void checkType(Type type, String place) {
        Type element = type.getSort() == Type.ARRAY ? type.getElementType() : type;
        boolean nested = type.getSort() == Type.ARRAY && type.getDimensions() > 1;
        switch (element.getSort()) {
            case Type.VOID:
            case Type.BOOLEAN:
            case Type.BYTE:
            case Type.SHORT:
                break;
            case Type.OBJECT:
                checkOwner(element.getInternalName(), place);
                break;
            default:
                found.add(place + ": type " + type.getClassName());
        }
        if (nested) {
            found.add(place + ": array of arrays");
        }
    }

    private void checkOwner(String owner, String place) {
        if (!owner.startsWith("javacard/") && !owner.startsWith(cardPackage) && !owner.equals("java/lang/Object")
            && !owner.startsWith("[")) {
            found.add(place + ": uses " + owner);
        }
    }

    private void checkInstruction(AbstractInsnNode instruction, MethodNode method, String place) {
        boolean installing = INSTALLING.contains(method.name);
        switch (instruction.getOpcode()) {
            case Opcodes.NEW:
                checkOwner(((TypeInsnNode) instruction).desc, place);
                if (!installing) {
                    found.add(place + ": allocates after installation");
                }
                break;
            case Opcodes.NEWARRAY:
            case Opcodes.ANEWARRAY:
                if (!installing) {
                    found.add(place + ": allocates after installation");
                }
                break;
            case Opcodes.INVOKEDYNAMIC:
            case Opcodes.MONITORENTER:
            case Opcodes.IUSHR:
            case Opcodes.I2C:
            case Opcodes.I2L:
            case Opcodes.I2F:
            case Opcodes.I2D:
                found.add(place + ": instruction " + instruction.getOpcode());
                break;
            default:
        }
        if (instruction instanceof MultiANewArrayInsnNode || instruction instanceof IincInsnNode) {
            found.add(place + ": int or array of arrays");
        }
        if (instruction instanceof LdcInsnNode) {
            found.add(place + ": constant " + ((LdcInsnNode) instruction).cst);
        }
        if (instruction instanceof MethodInsnNode) {
            MethodInsnNode call = (MethodInsnNode) instruction;
            checkOwner(call.owner, place);
            if (!installing && ALLOCATING.contains(call.name)) {
                found.add(place + ": allocates after installation");
            }
        }
    }

    /** Follows each number: one that may not fit 16 bits must be cast before anything depends on it. */
    private final class Widths extends BasicInterpreter {
        private final BasicValue wide = new BasicValue(Type.INT_TYPE) {
            @Override
            public boolean equals(Object other) {
                return this == other;
            }

            @Override
            public int hashCode() {
                return 1;
            }
        };
        private final String place;

        Widths(String place) {
            super(Opcodes.ASM9);
            this.place = place;
        }

        @Override
        public BasicValue copyOperation(AbstractInsnNode instruction, BasicValue value) throws AnalyzerException {
            return narrow(value, "stored without a cast");
        }

        @Override
        public BasicValue unaryOperation(AbstractInsnNode instruction, BasicValue value) throws AnalyzerException {
            int opcode = instruction.getOpcode();
            if (opcode == Opcodes.INEG) {
                return wide;
            }
            if (opcode != Opcodes.I2B && opcode != Opcodes.I2S) {
                narrow(value, "used without a cast");
            }
            return super.unaryOperation(instruction, value);
        }

        @Override
        public BasicValue binaryOperation(AbstractInsnNode instruction, BasicValue one, BasicValue other)
                throws AnalyzerException {
            switch (instruction.getOpcode()) {
                case Opcodes.IADD:
                case Opcodes.ISUB:
                case Opcodes.IMUL:
                case Opcodes.ISHL:
                    return wide;
                case Opcodes.IAND:
                case Opcodes.IOR:
                case Opcodes.IXOR:
                    return one == wide || other == wide ? wide : super.binaryOperation(instruction, one, other);
                default:
                    narrow(one, "compared, shifted or indexed without a cast");
                    narrow(other, "compared, shifted or indexed without a cast");
                    return super.binaryOperation(instruction, one, other);
            }
        }

        @Override
        public BasicValue ternaryOperation(
                AbstractInsnNode instruction, BasicValue array, BasicValue index, BasicValue value)
                throws AnalyzerException {
            narrow(index, "index without a cast");
            narrow(value, "stored without a cast");
            return super.ternaryOperation(instruction, array, index, value);
        }

        @Override
        public BasicValue naryOperation(AbstractInsnNode instruction, List<? extends BasicValue> values)
                throws AnalyzerException {
            for (BasicValue each : values) {
                narrow(each, "passed without a cast");
            }
            return super.naryOperation(instruction, values);
        }

        @Override
        public void returnOperation(AbstractInsnNode instruction, BasicValue value, BasicValue expected) {
            narrow(value, "returned without a cast");
        }

        @Override
        public BasicValue merge(BasicValue one, BasicValue other) {
            if (one == wide || other == wide) {
                return wide;
            }
            return super.merge(one, other);
        }

        private BasicValue narrow(BasicValue value, String how) {
            if (value == wide) {
                found.add(place + ": a result of 32 bits is " + how);
                return BasicValue.INT_VALUE;
            }
            return value;
        }
    }
}
