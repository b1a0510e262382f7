#!/bin/sh
# Sets up the network of the guest wso-3332a2: at once, and in /etc/network/interfaces for its next
# boots. For Alpine and any busybox or Debian-like guest. Can be run any number of times.
mac_address='52:54:00:d2:5c:3f'
address='192.168.100.229'
prefix_length='24'
netmask='255.255.255.0'
gateway='192.168.100.1'
dns_servers='8.8.8.8 8.8.4.4'

set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "netconfig: $*" >&2
  exit 1
}

# Writes standard input to a file so that a crash leaves the old contents or the new. A symlink,
# such as the resolv.conf of systemd-resolved, becomes a plain file.
replace() {
  { cat >"$1.new" && mv -f "$1.new" "$1"; } || fail "cannot write $1"
}

find_interface() {
  for file in /sys/class/net/*/address; do
    read -r candidate <"$file" || continue
    [ "$candidate" = "$mac_address" ] || continue
    directory=${file%/address}
    echo "${directory##*/}"
    return
  done
  return 1
}

# The driver may still be loading.
seconds=0
until interface=$(find_interface); do
  [ "$seconds" -lt 5 ] || fail "no interface has the MAC address $mac_address"
  [ "$seconds" -gt 0 ] || echo "netconfig: waiting for the interface $mac_address" >&2
  seconds=$((seconds + 1))
  sleep 1
done

# Now. The host lets this one address through: any other that the interface has must go. Deleting
# one can delete its secondaries, so that one may be gone already is no failure.
ip -4 -o addr show dev "$interface" | while read -r _ _ _ old _; do
  [ "$old" = "$address/$prefix_length" ] || ip addr del "$old" dev "$interface" 2>/dev/null || true
done
ip addr replace "$address/$prefix_length" dev "$interface" ||
  fail "cannot give $interface the address $address/$prefix_length"
ip link set dev "$interface" up || fail "cannot bring $interface up"
ip route replace default via "$gateway" dev "$interface" ||
  fail "cannot route by way of the gateway $gateway"
if [ -n "$dns_servers" ]; then
  for server in $dns_servers; do echo "nameserver $server"; done | replace /etc/resolv.conf
fi

# From the next boot on. What the file says about other interfaces, or about IPv6, stays.
mkdir -p /etc/network || fail 'cannot make /etc/network'
old=/etc/network/interfaces
[ -e "$old" ] || old=/dev/null
interfaces=$(awk -v name="$interface" '
  function keep(line) {
    if (gap && kept) print ""
    gap = 0
    kept = 1
    print line
  }
  NF == 0 { gap = 1; next }
  /^#/ { keep($0); next }
  $1 == "auto" || $1 ~ /^allow-/ {
    others = ""
    for (i = 2; i <= NF; i++) {
      if ($i != name) others = others " " $i
      if ($1 == "auto" && $i == "lo") auto_lo = 1
    }
    if (others != "") keep($1 others)
    next
  }
  $1 == "iface" {
    skip = $2 == name && $3 != "inet6"
    if ($2 == "lo") iface_lo = 1
  }
  $1 ~ /^(mapping|no-auto-down|no-scripts|rename|source|source-directory|template)$/ { skip = 0 }
  !skip { keep($0) }
  END {
    gap = 1
    if (!auto_lo) keep("auto lo")
    if (!iface_lo) keep("iface lo inet loopback")
  }
' "$old") || fail "cannot read $old"
replace /etc/network/interfaces <<EOF
$interfaces

auto $interface
iface $interface inet static
	address $address
	netmask $netmask
	gateway $gateway
${dns_servers:+	dns-nameservers $dns_servers}
EOF
echo "netconfig: $interface has $address/$prefix_length and the gateway $gateway"
