package org.bighead.flink;

/** VARIANCE, STDDEV, SKEW, KURTOSIS: the arithmetic of bighead.features.moments, operation by operation. */
final class Moments extends State {
    private final double[] m;

    /** order: 2, 3 or 4; m[0] is the mean, m[p - 1] the sum of the p-th powers of the distances from it. */
    Moments(int order) {
        m = new double[order];
    }

    @Override
    void update(Input input, Place place) {
        double value = ((Number) input.value()).doubleValue();
        if (n == 0) {
            n = 1;
            m[0] = value;
            return;
        }
        double left = n;
        double delta = value - m[0];
        double step = delta / (double) (n + 1);
        double product = delta * step * left * 1.0;
        double two = m[1];
        double mean = m[0] + step * 1.0;
        if (m.length > 3) {
            double squares = 6.0 * step * step * ((double) (n * n) * 0.0 + 1.0 * two);
            double cross = 4.0 * step * (left * 0.0 - 1.0 * m[2]);
            double own = product * step * step * (double) (n * n - n + 1);
            m[3] = m[3] + 0.0 + own + squares + cross;
        }
        if (m.length > 2) {
            double cross = 3.0 * step * (left * 0.0 - 1.0 * two);
            m[2] = m[2] + 0.0 + product * step * (double) (n - 1) + cross;
        }
        m[1] = two + 0.0 + product;
        m[0] = mean;
        n++;
    }

    @Override
    void writeRest(ByteWriter out) {
        for (double one : m) {
            out.writeDouble(one);
        }
    }

    @Override
    void readRest(ByteReader in) {
        for (int index = 0; index < m.length; index++) {
            m[index] = in.readDouble();
        }
    }
}
