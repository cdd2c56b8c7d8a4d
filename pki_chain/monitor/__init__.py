"""What follows a gateway for a relying party or a member: directories of trusted certificates, and warnings."""
