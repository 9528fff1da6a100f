package org.bighead.flink;

import java.math.BigInteger;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * Scalar functions where Flink's SQL means something else: integers that leave 64 bits wrap there, and NaN is not ordered.
 *
 * <p>A result that does not fit is null, and the reason is noted for the operator that follows in the same thread.
 */
public final class Functions {
    private static final ThreadLocal<String[]> FAILED = ThreadLocal.withInitial(() -> new String[2]);

    private Functions() {}

    /** Why the last row's expressions failed: place 0 is `where` (and what takes rows back), 1 the inputs; then forgets. */
    static String[] failures() {
        String[] found = FAILED.get();
        if (found[0] == null && found[1] == null) {
            return null;
        }
        FAILED.remove();
        return found;
    }

    private static Long failed(BigInteger value, int place) {
        String[] found = FAILED.get();
        found[place] = found[place] == null ? value + " does not fit in 64 bits" : found[place];
        return null;
    }

    private static Long fitting(BigInteger value, int place) {
        return value.bitLength() < 64 ? Long.valueOf(value.longValue()) : failed(value, place);
    }

    /** A function whose calls are neither merged nor computed while the query is planned: it notes failures. */
    abstract static class Noting extends ScalarFunction {
        @Override
        public boolean isDeterministic() {
            return false;
        }
    }

    public static final class Add extends Noting {
        public Long eval(Long left, Long right, Integer place) {
            if (left == null || right == null) {
                return null;
            }
            long sum = left + right;
            boolean over = ((left ^ sum) & (right ^ sum)) < 0;
            return over ? failed(BigInteger.valueOf(left).add(BigInteger.valueOf(right)), place) : Long.valueOf(sum);
        }
    }

    public static final class Subtract extends Noting {
        public Long eval(Long left, Long right, Integer place) {
            return left == null || right == null
                    ? null
                    : fitting(BigInteger.valueOf(left).subtract(BigInteger.valueOf(right)), place);
        }
    }

    public static final class Multiply extends Noting {
        public Long eval(Long left, Long right, Integer place) {
            return left == null || right == null
                    ? null
                    : fitting(BigInteger.valueOf(left).multiply(BigInteger.valueOf(right)), place);
        }
    }

    public static final class Negate extends Noting {
        public Long eval(Long value, Integer place) {
            return value == null ? null : fitting(BigInteger.valueOf(value).negate(), place);
        }
    }

    public static final class Abs extends Noting {
        public Long eval(Long value, Integer place) {
            return value == null ? null : fitting(BigInteger.valueOf(value).abs(), place);
        }
    }

    /** The order of two doubles: NaN equals itself and is above every number, and -0.0 is 0.0. */
    public static final class Compare extends ScalarFunction {
        public Integer eval(Double left, Double right) {
            return left == null || right == null ? null : Integer.valueOf(Double.compare(left + 0.0, right + 0.0));
        }
    }
}
