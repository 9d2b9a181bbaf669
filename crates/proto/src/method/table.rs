//! The table of RPCs.
//!
//! A line is: constant, name, request, answer, shape, class, patience, and after `done` the error
//! with which a repetition says that the work is done. The comment of whatever is not a plain read
//! gives the reason for its class.

use super::{Class, Method, MethodInfo, Patience, Shape};
use crate::ServerError;
use crate::etcdserverpb::*;
use crate::grpc_health_v1::{HealthCheckRequest, HealthCheckResponse};
use crate::grpc_reflection_v1::{ServerReflectionRequest, ServerReflectionResponse};
use crate::v3electionpb::*;
use crate::v3lockpb::*;

macro_rules! done {
    () => {
        None
    };
    ($error:ident) => {
        Some(ServerError::$error)
    };
}

macro_rules! methods {
    ($(
        $(#[$module_doc:meta])*
        $module:ident = $service:literal {
            $(
                $(#[$doc:meta])*
                $constant:ident = $name:literal, $request:ty => $response:ty,
                    $shape:ident, $class:ident, $patience:ident $(, done $done:ident)?;
            )*
        }
    )*) => {
        $(
            $(#[$module_doc])*
            pub mod $module {
                use super::*;

                $(
                    $(#[$doc])*
                    pub const $constant: Method<$request, $response> = Method::new(MethodInfo {
                        path: concat!("/", $service, "/", $name),
                        service: $service,
                        name: $name,
                        shape: Shape::$shape,
                        class: Class::$class,
                        patience: Patience::$patience,
                        done: done!($($done)?),
                    });
                )*
            }
        )*

        /// Every RPC.
        pub const ALL: &[MethodInfo] = &[$($($module::$constant.info(),)*)*];
    };
}

methods! {
    /// Keys.
    kv = "etcdserverpb.KV" {
        /// Reads the keys of a range.
        RANGE = "Range", RangeRequest => RangeResponse, Unary, Read, Read;
        /// Reads the keys of a range in pieces. Since etcd 3.7.
        RANGE_STREAM = "RangeStream", RangeRequest => RangeStreamResponse,
            ServerStream, Read, Stream;
        /// Writes one key. A repetition would make another revision, over what others wrote
        /// meanwhile.
        PUT = "Put", PutRequest => PutResponse, Unary, Write, Write;
        /// Deletes the keys of a range. A repetition would delete what others put meanwhile.
        DELETE_RANGE = "DeleteRange", DeleteRangeRequest => DeleteRangeResponse,
            Unary, Write, Write;
        /// Runs a transaction. What a repetition does depends on its operations: one that only
        /// reads may be treated as a read by who looks into it.
        TXN = "Txn", TxnRequest => TxnResponse, Unary, Write, Write;
        /// Forgets the history before a revision. What is forgotten stays so. With `physical` its
        /// time depends on the size of the data.
        COMPACT = "Compact", CompactionRequest => CompactionResponse, Unary, Repeatable, Write,
            done Compacted;
    }

    /// Watches.
    watch = "etcdserverpb.Watch" {
        /// Carries any number of watches.
        WATCH = "Watch", WatchRequest => WatchResponse, Bidi, Read, Stream;
    }

    /// Leases.
    lease = "etcdserverpb.Lease" {
        /// Creates a lease. A repetition would create another one, with an id that nobody knows, or
        /// be refused if the caller chose the id.
        GRANT = "LeaseGrant", LeaseGrantRequest => LeaseGrantResponse, Unary, Write, Write;
        /// Ends a lease and deletes its keys. A lease ends once.
        REVOKE = "LeaseRevoke", LeaseRevokeRequest => LeaseRevokeResponse, Unary, Repeatable, Write,
            done LeaseNotFound;
        /// Carries the keep-alives of any number of leases. Another one only starts the time anew.
        KEEP_ALIVE = "LeaseKeepAlive", LeaseKeepAliveRequest => LeaseKeepAliveResponse,
            Bidi, Repeatable, Stream;
        /// Tells how long a lease has left. Since etcd 3.1.
        TIME_TO_LIVE = "LeaseTimeToLive", LeaseTimeToLiveRequest => LeaseTimeToLiveResponse,
            Unary, Read, Read;
        /// Lists all leases. Since etcd 3.3.
        LEASES = "LeaseLeases", LeaseLeasesRequest => LeaseLeasesResponse, Unary, Read, Read;
    }

    /// Members.
    cluster = "etcdserverpb.Cluster" {
        /// Adds a member. A repetition is refused for its URLs, and the new member's id would be
        /// lost.
        MEMBER_ADD = "MemberAdd", MemberAddRequest => MemberAddResponse, Unary, Write, Admin;
        /// Removes a member. An id is never used again.
        MEMBER_REMOVE = "MemberRemove", MemberRemoveRequest => MemberRemoveResponse,
            Unary, Repeatable, Admin, done MemberNotFound;
        /// Changes a member's peer URLs. A late repetition would undo another change.
        MEMBER_UPDATE = "MemberUpdate", MemberUpdateRequest => MemberUpdateResponse,
            Unary, Write, Admin;
        /// Lists all members.
        MEMBER_LIST = "MemberList", MemberListRequest => MemberListResponse, Unary, Read, Read;
        /// Makes a learner a voting member. A voter does not become a learner again. Since etcd
        /// 3.4.
        MEMBER_PROMOTE = "MemberPromote", MemberPromoteRequest => MemberPromoteResponse,
            Unary, Repeatable, Admin, done MemberNotLearner;
    }

    /// Care of a member.
    maintenance = "etcdserverpb.Maintenance" {
        /// Lists, raises or clears alarms. A late repetition could clear an alarm raised meanwhile;
        /// one that only lists may be treated as a read by who looks into it.
        ALARM = "Alarm", AlarmRequest => AlarmResponse, Unary, Write, Admin;
        /// Tells the member's state.
        STATUS = "Status", StatusRequest => StatusResponse, Unary, Read, Read;
        /// Rewrites the member's backend. A repetition would stop the member from serving once
        /// more.
        DEFRAGMENT = "Defragment", DefragmentRequest => DefragmentResponse, Unary, Write, Long;
        /// Hashes the member's whole backend.
        HASH = "Hash", HashRequest => HashResponse, Unary, Read, Long;
        /// Hashes the key space up to a revision. Since etcd 3.3.
        HASH_KV = "HashKV", HashKvRequest => HashKvResponse, Unary, Read, Long;
        /// Sends a copy of the member's backend.
        SNAPSHOT = "Snapshot", SnapshotRequest => SnapshotResponse, ServerStream, Read, Stream;
        /// Hands the leadership over. Only the leader does it: who has handed it over refuses, and
        /// who got it has nothing to do. Since etcd 3.3.
        MOVE_LEADER = "MoveLeader", MoveLeaderRequest => MoveLeaderResponse,
            Unary, Repeatable, Admin;
        /// Prepares the cluster for the minor version before its own. A late repetition would undo
        /// another step. Since etcd 3.5.
        DOWNGRADE = "Downgrade", DowngradeRequest => DowngradeResponse, Unary, Write, Admin;
    }

    /// Users and roles.
    ///
    /// Their changes are writes: a late repetition would undo another administrator's.
    auth = "etcdserverpb.Auth" {
        /// Turns authentication on. A repetition would have to bring a token.
        ENABLE = "AuthEnable", AuthEnableRequest => AuthEnableResponse, Unary, Write, Admin;
        /// Turns authentication off. A late repetition would turn it off again.
        DISABLE = "AuthDisable", AuthDisableRequest => AuthDisableResponse, Unary, Write, Admin;
        /// Tells whether authentication is on. Since etcd 3.5.
        STATUS = "AuthStatus", AuthStatusRequest => AuthStatusResponse, Unary, Read, Read;
        /// Exchanges a password for a token. Another token does no harm and expires.
        AUTHENTICATE = "Authenticate", AuthenticateRequest => AuthenticateResponse,
            Unary, Repeatable, Read;
        /// Adds a user.
        USER_ADD = "UserAdd", AuthUserAddRequest => AuthUserAddResponse, Unary, Write, Admin;
        /// Tells a user's roles.
        USER_GET = "UserGet", AuthUserGetRequest => AuthUserGetResponse, Unary, Read, Read;
        /// Lists all users.
        USER_LIST = "UserList", AuthUserListRequest => AuthUserListResponse, Unary, Read, Read;
        /// Deletes a user.
        USER_DELETE = "UserDelete", AuthUserDeleteRequest => AuthUserDeleteResponse,
            Unary, Write, Admin;
        /// Changes a user's password.
        USER_CHANGE_PASSWORD = "UserChangePassword",
            AuthUserChangePasswordRequest => AuthUserChangePasswordResponse, Unary, Write, Admin;
        /// Grants a role to a user.
        USER_GRANT_ROLE = "UserGrantRole", AuthUserGrantRoleRequest => AuthUserGrantRoleResponse,
            Unary, Write, Admin;
        /// Takes a role from a user.
        USER_REVOKE_ROLE = "UserRevokeRole",
            AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse, Unary, Write, Admin;
        /// Adds a role.
        ROLE_ADD = "RoleAdd", AuthRoleAddRequest => AuthRoleAddResponse, Unary, Write, Admin;
        /// Tells a role's permissions.
        ROLE_GET = "RoleGet", AuthRoleGetRequest => AuthRoleGetResponse, Unary, Read, Read;
        /// Lists all roles.
        ROLE_LIST = "RoleList", AuthRoleListRequest => AuthRoleListResponse, Unary, Read, Read;
        /// Deletes a role.
        ROLE_DELETE = "RoleDelete", AuthRoleDeleteRequest => AuthRoleDeleteResponse,
            Unary, Write, Admin;
        /// Grants a permission to a role.
        ROLE_GRANT_PERMISSION = "RoleGrantPermission",
            AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse, Unary, Write, Admin;
        /// Takes a permission from a role.
        ROLE_REVOKE_PERMISSION = "RoleRevokePermission",
            AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse,
            Unary, Write, Admin;
    }

    /// Locks that the server waits for. Since etcd 3.2.
    lock = "v3lockpb.Lock" {
        /// Waits for a lock. A repetition without a lease would queue behind the first attempt. The
        /// server makes several requests of it, so that no error proves that nothing was written.
        LOCK = "Lock", LockRequest => LockResponse, Unary, Write, Long;
        /// Gives a lock up. A late repetition would take it from who locked it with the same lease.
        UNLOCK = "Unlock", UnlockRequest => UnlockResponse, Unary, Write, Write;
    }

    /// Elections that the server waits for. Since etcd 3.2.
    election = "v3electionpb.Election" {
        /// Waits until elected. A late repetition would campaign anew after a resignation. The
        /// server makes several requests of it, so that no error proves that nothing was written.
        CAMPAIGN = "Campaign", CampaignRequest => CampaignResponse, Unary, Write, Long;
        /// Changes the leader's value. A late repetition would bring an old value back.
        PROCLAIM = "Proclaim", ProclaimRequest => ProclaimResponse, Unary, Write, Write;
        /// Tells who leads.
        LEADER = "Leader", LeaderRequest => LeaderResponse, Unary, Read, Read;
        /// Reports who leads, now and whenever that changes.
        OBSERVE = "Observe", LeaderRequest => LeaderResponse, ServerStream, Read, Stream;
        /// Gives a leadership up. It names the revision that the leadership began at, which no
        /// other has.
        RESIGN = "Resign", ResignRequest => ResignResponse, Unary, Repeatable, Write;
    }

    /// The standard health service.
    health = "grpc.health.v1.Health" {
        /// Tells the present status.
        CHECK = "Check", HealthCheckRequest => HealthCheckResponse, Unary, Read, Read;
        /// Reports the status, now and whenever it changes.
        WATCH = "Watch", HealthCheckRequest => HealthCheckResponse, ServerStream, Read, Stream;
    }

    /// The standard reflection service, which etcd does not have and etcdkit's server has.
    reflection = "grpc.reflection.v1.ServerReflection" {
        /// Answers questions about services and messages.
        INFO = "ServerReflectionInfo", ServerReflectionRequest => ServerReflectionResponse,
            Bidi, Read, Stream;
    }

    /// The reflection service by its older name; its messages are the same.
    reflection_v1alpha = "grpc.reflection.v1alpha.ServerReflection" {
        /// Answers questions about services and messages.
        INFO = "ServerReflectionInfo", ServerReflectionRequest => ServerReflectionResponse,
            Bidi, Read, Stream;
    }
}
