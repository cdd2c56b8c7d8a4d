#!/bin/sh
# Makes a key and a small-cell certificate with Java's keytool (JDK 17 or later) alone.
# Usage: keytool.sh ORGANISATION NAME DAYS FOLDER
# Writes FOLDER/NAME.p12 (the key), FOLDER/NAME.p12.password, both mode 0600, and FOLDER/NAME.der; overwrites nothing.
set -eu
umask 077

usage() { echo "usage: $0 ORGANISATION NAME DAYS FOLDER ($1)" >&2; exit 64; }
[ $# -eq 4 ] || usage "four arguments"
organisation=$1 name=$2 days=$3 folder=$4
case $name in *[!a-z0-9.-]* | '') usage "NAME: lower-case letters, digits, hyphens and dots" ;; esac
case $days in *[!0-9]* | '') usage "DAYS: a whole number" ;; esac
[ -n "$organisation" ] || usage "ORGANISATION: the registered name of the member"
[ -d "$folder" ] || usage "FOLDER: an existing folder"
store=$folder/$name.p12 password=$folder/$name.p12.password certificate=$folder/$name.der
for file in "$store" "$password" "$certificate"; do
    [ ! -e "$file" ] || { echo "$0: $file exists already; nothing was written" >&2; exit 73; }
done
set -C # from here on > creates a file or fails
od -An -N 24 -tx1 /dev/urandom | tr -d ' \n' > "$password"
set +C
trap '[ -s "$certificate" ] || rm -f "$store" "$password" "$certificate"' EXIT

# RFC 2253: these characters have a meaning of their own in a name.
subject="O=$(printf %s "$organisation" | sed 's/[,+"\\<>;=#]/\\&/g')"
# keytool adds SKI by itself, and no basicConstraints.
keytool -genkeypair -noprompt -storetype PKCS12 -keystore "$store" -storepass:file "$password" -alias device \
    -keyalg EC -groupname secp256r1 -sigalg SHA256withECDSA -dname "$subject" -validity "$days" \
    -ext KeyUsage:critical=digitalSignature -ext "SubjectAlternativeName=dns:$name" > /dev/null 2>&1 ||
    { echo "$0: keytool refused; run it by hand with the options in this script" >&2; exit 70; }
keytool -exportcert -keystore "$store" -storepass:file "$password" -alias device -file "$certificate" > /dev/null 2>&1
chmod 0644 "$certificate"
echo "$certificate"
