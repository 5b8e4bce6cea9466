#!/usr/bin/env bash
# Two "hosts" on one machine: network namespaces with addresses of their own, 1 Gbit/s and half a millisecond each way between them. Ranks
# on both must give the bits of one rank. Ends with 77 (skipped) where namespaces cannot be made, or MPICH's launcher is missing.
# two_hosts.sh PROGRAM [ARGUMENTS ...]
set -uo pipefail
mpiexec=$(command -v mpiexec.mpich || command -v mpiexec.hydra) || exit 77
a=fot_a_$$ b=fot_b_$$
trap 'ip netns del $a 2>/dev/null; ip netns del $b 2>/dev/null; rm -f "$launcher"' EXIT
launcher=$(mktemp)
ip netns add $a 2>/dev/null && ip netns add $b 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
ip link add name veth_a netns $a type veth peer name veth_b netns $b || exit 77
for side in a b; do
  name=$([ $side = a ] && echo $a || echo $b)
  ip -n "$name" addr add 10.77.0.$([ $side = a ] && echo 1 || echo 2)/24 dev veth_$side
  ip -n "$name" link set lo up && ip -n "$name" link set veth_$side up
  tc -n "$name" qdisc add dev veth_$side root netem delay 500us rate 1gbit 2>/dev/null ||
    echo "note: this kernel has no netem: the network between the hosts is as fast as the machine"
done
# What mpiexec takes for ssh: the last words are the command, the word before them the host.
cat >"$launcher" <<END
#!/usr/bin/env bash
while [[ \$1 != 10.77.0.* ]]; do shift; done
name=\$([ "\$1" = 10.77.0.1 ] && echo $a || echo $b); shift
exec ip netns exec \$name bash -c "\$*"
END
chmod +x "$launcher"
ip netns exec $a "$mpiexec" -launcher ssh -launcher-exec "$launcher" -hosts 10.77.0.1,10.77.0.2 -n 2 "$@"
