# One act on the lease of an app on this host. Arguments:
# $1 = state directory of the app, $2 = acquire | renew | release | status, $3 = lease id, $4 = seconds to live,
# $5 = fencing number to reach at least, $6 = id of a lease that may be taken away; who it is for comes on stdin.
# Prints "ok FENCE", "held SECONDS-LEFT ID" and who holds it on the next line, or "free FENCE".
set -eu
dir=$1 act=$2 id=$3 ttl=$4 want=$5 steal=$6
if [ "$act" = status ] && [ ! -d "$dir" ]; then echo "free 0"; exit 0; fi
mkdir -p "$dir"
cd "$dir"
# flock makes read, decide and write one step; the mutex is only held while this script runs.
exec 9>mutex
flock -w 10 9 || { echo "the lock's mutex is busy" >&2; exit 75; }
now=$(date +%s)
cur='' expires=0 fence=0
[ ! -f fence ] || read -r fence <fence || true
[ ! -f lease ] || read -r cur expires <lease || true
# A machine that lost power may have left empty files.
case $fence in '' | *[!0-9]*) fence=0 ;; esac
case $expires in '' | *[!0-9]*) expires=0 ;; esac
put() { printf '%s\n' "$2" >"$1.new"; sync "$1.new" 2>/dev/null || true; mv "$1.new" "$1"; }
held() { echo "held $((expires - now)) $cur"; head -c 2000 owner 2>/dev/null || true; exit 0; }
case $act in
acquire)
	if [ -n "$cur" ] && [ "$cur" != "$id" ] && [ "$expires" -gt "$now" ] && [ "$cur" != "$steal" ]; then held; fi
	fence=$((fence + 1))
	[ "$fence" -ge "$want" ] || fence=$want
	put fence "$fence"
	head -c 2000 >owner.new
	mv owner.new owner
	put lease "$id $((now + ttl))"
	echo "ok $fence"
	;;
renew)
	if [ "$cur" != "$id" ]; then [ -n "$cur" ] && held; echo "free $fence"; exit 0; fi
	[ "$fence" -ge "$want" ] || { fence=$want; put fence "$fence"; }
	put lease "$id $((now + ttl))"
	echo "ok $fence"
	;;
release)
	if [ -n "$cur" ] && [ "$cur" != "$id" ] && [ "$cur" != "$steal" ]; then held; fi
	rm -f lease owner
	echo "free $fence"
	;;
status)
	if [ -n "$cur" ] && [ "$expires" -gt "$now" ]; then held; fi
	echo "free $fence"
	;;
esac
