"""Profile packages of eSIMs (SAIP) with the applet in them."""
