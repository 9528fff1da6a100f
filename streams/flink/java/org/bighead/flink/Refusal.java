package org.bighead.flink;

/** Why a message cannot be applied; `kind` is the class of the error in bighead.errors. */
final class Refusal extends Exception {
    final String kind;

    private Refusal(String kind, String message) {
        super(message, null, false, false);
        this.kind = kind;
    }

    static Refusal undecodable(String message) {
        return new Refusal("UndecodableEvent", message);
    }

    static Refusal invalid(String message) {
        return new Refusal("InvalidEvent", message);
    }
}
