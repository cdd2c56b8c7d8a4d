"""Client of GSMA IoT SAFE (IoT.05), and the PIN extension of our own card. Bytes on the wire: docs/apdu.md."""
