package com.licel.jcardsim.crypto;

import java.security.SecureRandom;

/**
 * Stands in for the simulator's class of this name, and must come ahead of its jar on the class path.
 *
 * <p>The original is never seeded: every simulated card makes the same key, every signature uses the same nonce, and
 * the first nonce is the private key. Key pairs and signatures draw from this class by name, so replacing it is the
 * only mend that needs no fork. {@link tigertally.simulator.SelfTest} refuses to serve a card where it did not work.
 */
public class SecureRandomNullProvider extends SecureRandom {
    private static final long serialVersionUID = 1L;

    /** Draws from the platform's own source; public, so that a stored card can be read back. */
    public SecureRandomNullProvider() {
        super();
    }
}
