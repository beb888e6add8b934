package place

// keysScript is what adding and removing grants have in common. Grants stand at the beginning of authorized_keys, so that
// a last line without its end stays as it is.
//
// The file is replaced, not written to: its copy has its mode, is complete on disk, and as long as it should be, or the
// user would be locked out. A file that is not the user's own or is write protected is somebody's decision and stays.
// A lock that nobody gave back is broken after two minutes. What did not exist before is noted in .ship-made, and goes
// with the last grant.
//
// begin takes the lock, with an argument makes ~/.ssh, and copies the file to $t. pick makes of the run $1, and of the
// grants that have expired, the sed script $drop that leaves them out, and $show that shows them. check sees
// that $t has what the file had, without those grants, and $1 bytes more.
const keysScript = `d=$HOME/.ssh made=
f=$d/authorized_keys t=$d/.authorized_keys.ship l=$d/.ship-lock m=$d/.ship-made
start='restrict,from="[^"]*",expiry-time="'
end='",command=".*" ssh-ed25519 [A-Za-z0-9+/=]* ship-'
begin() {
	n=0
	until mkdir "$l" 2>/dev/null; do
		n=$((n+1))
		[ $n -le 100 ] || fail failed "cannot lock $f"
		if [ ! -d "$d" ]; then
			[ -n "$1" ] || fail done
			mkdir -m 700 "$d" 2>/dev/null && made=folder
			[ -d "$d" ] || fail failed "cannot make $d"
			continue
		fi
		[ -w "$d" ] || fail failed "$d cannot be written"
		[ -z "$(find "$l" -prune -mmin +1 2>/dev/null)" ] || rmdir "$l" 2>/dev/null
		sleep 0.1 2>/dev/null || sleep 1
	done
	trap 'rm -f "$t"; rmdir "$l"; [ "$made" != empty ] || rmdir "$d" 2>/dev/null' EXIT
	trap 'exit 1' HUP INT TERM
	if [ -L "$f" ]; then
		f=$(readlink -f "$f") || fail failed "$d/authorized_keys leads nowhere"
		t=${f%/*}/.authorized_keys.ship
	fi
	rm -f "$t"
	[ -e "$f" ] || return 0
	[ -f "$f" ] && [ -O "$f" ] && [ -w "$f" ] || fail failed "$f is not the user's to write"
	cp -p "$f" "$t" || fail failed "cannot write beside $f"
}
clock() { (unset TZ; date "$@"); }
pick() {
	drop= show= gone=0
	[ -e "$f" ] || return 0
	[ -z "$1" ] || add "[0-9]*$end$1"
	now=$(clock +%Y%m%d%H%M%S)
	for e in $({ sed -n "s|^$start\\([0-9]*\\)$end[A-Za-z0-9-]*\$|\\1|p" "$f"; echo "$now"; } | sort -u | sed "/^$now\$/,\$d"); do
		add "$e$end[A-Za-z0-9-]*"
	done
	gone=$(sed -n "$show" "$f" | wc -c)
}
add() { drop="$drop\\|^$start$1\$|d;" show="$show\\|^$start$1\$|{p;d;};"; }
keep() { [ ! -e "$f" ] || sed "$drop" "$f"; }
size() { [ ! -e "$1" ] && echo 0 || wc -c <"$1"; }
check() { [ "$(size "$t")" -eq $(($(size "$f")-gone+$1)) ] || fail failed "cannot write beside $f"; }
replace() {
	sync "$t" 2>/dev/null
	mv -f "$t" "$f" || fail failed "cannot write $f"
}
`

// admitScript: seconds to live, line before the time of expiry, line after it; once for each grant.
const admitScript = `begin make
lines() {
	while [ $# -ge 3 ]; do
		e=$(clock -d "@$(($(date +%s)+$1))" +%Y%m%d%H%M%S)
		case $e in ''|*[!0-9]*) return 1 ;; esac
		printf '%s%s%s\n' "$2" "$e" "$3"
		shift 3
	done
}
new=$(lines "$@") || fail failed "no date of expiry"
[ -e "$f" ] || made=${made:-file}
pick ''
{ printf '%s\n' "$new" && keep; } >"$t" || fail failed "cannot write beside $f"
if [ "$made" = folder ] || { [ "$made" = file ] && [ ! -e "$m" ]; }; then echo "$made" >"$m"; fi
check $((${#new}+1))
replace
answer done
`

// revokeScript: the run.
const revokeScript = `begin ''
[ -e "$f" ] || fail done
pick "$1"
keep >"$t" || fail failed "cannot write beside $f"
check 0
left=$(sed -n "\\|^$start[0-9]*$end[A-Za-z0-9-]*\$|p" "$t" | wc -c)
if [ -e "$m" ] && [ "$left" -eq 0 ]; then
	was=$(cat "$m")
	rm -f "$m"
	if [ ! -s "$t" ]; then
		rm -f "$f"
		[ "$was" != folder ] || made=empty
		fail done
	fi
fi
[ "$gone" -eq 0 ] || replace
answer done
`
