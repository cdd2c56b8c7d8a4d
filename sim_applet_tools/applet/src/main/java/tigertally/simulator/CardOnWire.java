package tigertally.simulator;

/** What a reader sees of a card: commands and answers as a protocol cuts them, and power. */
interface CardOnWire {
    /** Answers one command. */
    byte[] transmit(byte[] command);

    /** Power off and on. */
    void reset();
}
