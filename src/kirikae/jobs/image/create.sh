#!/bin/sh
# Make what stands in this folder, with the AWS command line; what is there already stays, services get the new definition.
# Look at it first; it may be run again.
set -eu
cd "$(dirname "$0")"

# SERVICE OPERATION FILE ERROR: made once; ERROR is what AWS says where it is there already.
once() {
    if said=$(aws "$1" "$2" --cli-input-json "file://$3" 2>&1); then echo "$3: made"; return; fi
    case $said in
        *"$4"*) echo "$3: there already" ;;
        *) printf '%s\n' "$said" >&2; exit 1 ;;
    esac
}
put() { aws "$1" "$2" --cli-input-json "file://$3" >/dev/null; echo "$3: put"; }
# FILE CLUSTER SERVICE: it is made, or takes the newest definition of its family.
service() {
    status=$(aws ecs describe-services --cluster "$2" --services "$3" --query 'services[0].status' --output text)
    case $status in
        ACTIVE)
            aws ecs update-service --cluster "$2" --service "$3" --task-definition "$3" >/dev/null
            echo "$1: takes the new definition" ;;
        *) put ecs create-service "$1" ;;
    esac
}

