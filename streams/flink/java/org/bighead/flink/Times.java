package org.bighead.flink;

import java.time.Instant;
import java.time.ZoneOffset;

/** Which event times are believed: the rule and the words of bighead.events.times. */
final class Times {
    private static final long SECONDS_FROM = 631_152_000L;
    private static final long SECONDS_TO = 4_102_444_800L;

    private Times() {}

    static void check(Object value, long nowMs, long maxFutureMs, String name) throws Refusal {
        if (value instanceof Long timeMs && believed(timeMs, nowMs, maxFutureMs)) {
            return;
        }
        throw Refusal.invalid(
                "the event's time '" + name + "' is " + (value == null ? "None" : value)
                        + "; expected milliseconds since 1970-01-01 UTC, at most " + maxFutureMs + " ms after now ("
                        + nowMs + "). " + guess(value, nowMs));
    }

    private static boolean believed(long timeMs, long nowMs, long maxFutureMs) {
        return timeMs >= 0 && timeMs <= nowMs + maxFutureMs && (timeMs < SECONDS_FROM || timeMs >= SECONDS_TO);
    }

    private static String guess(Object value, long nowMs) {
        if (!(value instanceof Long timeMs)) {
            return "A NoneType is no time: send a long";
        }
        if (timeMs >= SECONDS_FROM && timeMs < SECONDS_TO) {
            return "This looks like seconds (" + date(timeMs) + "): multiply by 1000";
        }
        if (timeMs < 0) {
            return "It lies before 1970";
        }
        if (timeMs > SECONDS_TO * 1000) {
            for (long factor : new long[] {1_000, 1_000_000}) {
                long seconds = timeMs / factor / 1000;
                if (seconds >= SECONDS_FROM && seconds < SECONDS_TO) {
                    String unit = factor == 1_000 ? "microseconds" : "nanoseconds";
                    return "This looks like " + unit + " (" + date(seconds) + "): divide by " + factor;
                }
            }
        }
        double hours = (timeMs - nowMs) / 3_600_000.0;
        return String.format(java.util.Locale.ROOT, "It lies %.1f hours in the future: check the producer's clock", hours);
    }

    private static String date(long seconds) {
        return Instant.ofEpochSecond(seconds).atZone(ZoneOffset.UTC).toLocalDate().toString();
    }
}
