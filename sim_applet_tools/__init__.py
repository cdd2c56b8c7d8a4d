"""SIM cards of people: IoT SAFE client, transports to a card, an emulator, and the command line `tally sim`."""
