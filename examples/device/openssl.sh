#!/bin/sh
# Makes a key and a small-cell certificate with openssl (3.0 or later) alone.
# Usage: openssl.sh ORGANISATION NAME DAYS FOLDER
# Writes FOLDER/NAME.key.pem (PKCS#8, mode 0600) and FOLDER/NAME.der; overwrites nothing.
set -eu
umask 077

usage() { echo "usage: $0 ORGANISATION NAME DAYS FOLDER ($1)" >&2; exit 64; }
[ $# -eq 4 ] || usage "four arguments"
organisation=$1 name=$2 days=$3 folder=$4
case $name in *[!a-z0-9.-]* | '') usage "NAME: lower-case letters, digits, hyphens and dots" ;; esac
case $days in *[!0-9]* | '') usage "DAYS: a whole number" ;; esac
[ -n "$organisation" ] || usage "ORGANISATION: the registered name of the member"
[ -d "$folder" ] || usage "FOLDER: an existing folder"
key=$folder/$name.key.pem certificate=$folder/$name.der
[ ! -e "$certificate" ] || { echo "$0: $certificate exists already; nothing was written" >&2; exit 73; }
set -C # from here on > creates a file or fails
: > "$key" || { echo "$0: $key exists already or cannot be made; nothing was written" >&2; exit 73; }
settings=$(mktemp)
trap 'rm -f "$settings"; [ -s "$certificate" ] || rm -f "$key" "$certificate"' EXIT

# The extensions stand here in full: openssl's own defaults would make a CA certificate.
set +C
cat > "$settings" <<END
[req]
prompt = no
string_mask = utf8only
distinguished_name = subject
x509_extensions = device
[subject]
[device]
subjectKeyIdentifier = hash
keyUsage = critical, digitalSignature
subjectAltName = DNS:$name
END
# In -subj the characters / + and \ have a meaning of their own.
subject=/O=$(printf %s "$organisation" | sed 's,[/+\\],\\&,g')
openssl req -x509 -new -config "$settings" -utf8 -subj "$subject" -days "$days" -sha256 \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve -noenc \
    -keyout "$key" -outform DER -out "$certificate" 2> /dev/null ||
    { echo "$0: openssl refused; run it by hand with the settings in this script" >&2; exit 70; }
chmod 0644 "$certificate"
echo "$certificate"
