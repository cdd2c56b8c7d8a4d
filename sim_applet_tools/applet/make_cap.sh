#!/bin/sh
# Converts the applet to a CAP file for a card, with the vendor's Java Card Development Kit, which may not be shipped
# with this source. Maven runs this while it packages; JC_HOME says where the kit is. Without it the CAP is skipped,
# and said to be; with it, every failure is one.
#
# Usage: make_cap.sh            (kit from JC_HOME; Java Card 3.0.4, 3.0.5, or 3.1 and later)
set -eu
cd "$(dirname "$0")"

fail() { echo "[cap] $*" >&2; exit 1; }
aid() { echo "$1" | sed 's/../:0x&/g; s/^://'; }

if [ -z "${JC_HOME:-}" ]; then
  echo "[cap] No CAP file was made: JC_HOME is not set. To make one, get the Java Card Development Kit Tools from" \
    "Oracle (its licence forbids that they come with this source), unpack them, set JC_HOME to their folder and run" \
    "Maven again. Everything else is built and tested without them."
  exit 0
fi

target=3.0.4
[ -f "$JC_HOME/lib/tools.jar" ] || fail "JC_HOME=$JC_HOME has no lib/tools.jar: it must be the folder that the Java Card Development Kit Tools were unpacked to"
if [ -d "$JC_HOME/api_export_files_$target" ]; then       # kits of 3.1 and later convert for older cards
  api="$JC_HOME/lib/api_classic-$target.jar"
  exports="$JC_HOME/api_export_files_$target"
  for_target="-target $target"
else                                                      # kits of 3.0.4 and 3.0.5 convert for themselves
  api="$JC_HOME/lib/api_classic.jar"
  exports="$JC_HOME/api_export_files"
  for_target=""
fi
[ -f "$api" ] && [ -d "$exports" ] || fail "JC_HOME=$JC_HOME lacks $api or $exports: 3.0.4 is the oldest kit that will do"

package_aid=F054414C4C5901
application_aid=F054414C4C590101
classes=target/cap/classes
rm -rf target/cap
mkdir -p "$classes"

# Against the kit's own API, not the simulator's, so that nothing newer than the card is used by mistake; class files of
# Java 7, which the converters of all these kits read.
javac --release 7 -Xlint:-options -g -cp "$api" -d "$classes" src/main/java/tigertally/card/*.java

# shellcheck disable=SC2086  # for_target is two words or none
java -Djc.home="$JC_HOME" -cp "$JC_HOME/lib/*" com.sun.javacard.converter.Main -nobanner $for_target \
  -classdir "$classes" -exportpath "$exports" -d target/cap -out CAP EXP \
  -applet "$(aid $application_aid)" tigertally.card.ApprovalApplet tigertally.card "$(aid $package_aid)" 1.0

cap=target/cap/tigertally/card/javacard/card.cap
[ -f "$cap" ] || fail "the converter said nothing, and made no $cap"
# shellcheck disable=SC2046  # one word a file
java -Djc.home="$JC_HOME" -cp "$JC_HOME/lib/*" com.sun.javacard.offcardverifier.Verifier -nobanner \
  $(find "$exports" -name '*.exp') "target/cap/tigertally/card/javacard/card.exp" "$cap"
cp "$cap" target/approval.cap
echo "[cap] target/approval.cap: package $package_aid, applet $application_aid, verified for Java Card $target"
