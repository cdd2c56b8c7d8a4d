// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Who is in the consortium, with which rights, and by which rules certificates are accepted
/// @notice Members, their accounts and name spaces, profiles, electorates and parameters. Rights live here only: a
/// gateway, a relayer or a ledger node confers none. After `found` nobody has a right that is not a member's.
interface IConsortium {
    enum MemberKind {
        None,
        Operator,
        Vendor,
        Oem,
        CertificateAuthority,
        Service,
        Regulator
    }

    enum MemberState {
        None,
        Active,
        Suspended,
        Removed
    }

    enum Role {
        None,
        Administrator,
        Duty,
        Endorser,
        Station,
        Registrar // of people's identities
    }

    /// @param name Registered name: the O of every subject of this member; UTF-8, 1 to 64 octets, unique.
    struct Member {
        MemberKind kind;
        MemberState state;
        uint40 changedAt;
        string name;
    }

    /// @notice One account has one role at one member, for good: a retired address is never given to somebody else.
    struct Account {
        uint16 member;
        Role role;
        bool active;
    }

    enum NameKind {
        None,
        Dns,
        Urn,
        Oui,
        Ip
    }

    /// @param value dns: a lower-case suffix of whole labels, without leading dot (`cells.acme.example`);
    /// urn: a prefix that ends with ':'; oui: 3, 4 or 5 octets; ip: 4 or 16 octets of prefix.
    /// @param bits oui: 24, 28 or 36; ip: length of the prefix; otherwise 0.
    struct NameSpace {
        NameKind kind;
        uint8 bits;
        bytes value;
    }

    /// @notice What a certificate must look like; data, changed by vote. Bit sets are defined in `ProfileBits`.
    struct Profile {
        string name;
        bool active;
        bool caIssued;
        bool endlessAllowed;
        bool ekuMayBeAbsent;
        uint8 keyAlgorithms;
        uint8 signatureAlgorithms;
        uint8 sanTypes;
        uint8 sanMaximum;
        uint16 ekuRequired;
        uint16 ekuAllowed;
        uint16 requiredExtensions;
        uint32 longestLifeDays;
        uint32 skewSeconds;
        uint8 k;
        uint8 kPrime;
        uint32 windowSeconds;
        uint32 overlapSeconds;
    }

    /// @notice Numbered snapshot: the members whose endorsers may decide, in a fixed order, and the least k.
    struct Electorate {
        uint16[] members;
        uint8 quorum;
    }

    /// @param ageBoundSeconds A relying party's answer may be this old.
    /// @param cutOffSeconds Within this time after a hold or revocation every answer must show it.
    struct Parameters {
        uint32 ageBoundSeconds;
        uint32 cutOffSeconds;
        uint32 emergencyHoldHours;
        uint32 delaySeconds;
        uint32 governanceWindowSeconds;
    }

    enum ProposalKind {
        None,
        Admit,
        Suspend,
        Restore,
        Remove,
        BlockKey,
        SetProfile,
        SetElectorate,
        SetParameters,
        AddNameSpace,
        RemoveNameSpace,
        SetDirectory,
        HoldCertificate,
        ReleaseCertificate,
        TrustRoot,
        WithdrawAuthority // or a delegation
    }

    struct MemberSeed {
        MemberKind kind;
        string name;
        address[] administrators;
        address[] dutyAccounts;
        address[] endorsers;
        address[] stations;
        NameSpace[] spaces;
    }

    struct ProfileSeed {
        uint16 id;
        Profile content;
    }

    /// @param expiresAt the last second at which it can be voted on or carried out; its adoption may bring it forward.
    /// @param adoptedAt 0 until more than 2/3 support it. `delaySeconds` is the parameter as it was then.
    /// @param contentHash keccak256 of the kind's octet and the content.
    struct Proposal {
        ProposalKind kind;
        uint16 member;
        uint16 subject;
        uint40 madeAt;
        uint40 expiresAt;
        uint40 adoptedAt;
        uint32 delaySeconds;
        bool executed;
        bytes32 contentHash;
    }

    struct DirectorySeed {
        bytes32 name;
        address location;
        bytes32 codeHash;
    }

    /// @notice Everything that holds on the first day. Each founder signs `Found(keccak256(abi.encode(founding)))`.
    /// @param founders one administrator of each member, in the order of `members`.
    /// @param electorate member ids; members are numbered from 1 in the order of `members`.
    struct Founding {
        MemberSeed[] members;
        address[] founders;
        ProfileSeed[] profiles;
        uint16[] electorate;
        uint8 quorum;
        Parameters parameters;
        address directory;
        DirectorySeed[] entries;
    }

    error ConsortiumAlreadyFounded();
    error ConsortiumFoundersMismatch();
    error ConsortiumBadSignature(address signer);
    error ConsortiumDeadlinePassed(uint64 deadline);
    error ConsortiumNonceUsed(address account, uint256 nonce);
    error ConsortiumNotAuthorised(address account);
    error ConsortiumUnknownMember(uint16 member);
    error ConsortiumUnknownProposal(uint64 proposal);
    error ConsortiumProposalClosed(uint64 proposal);
    error ConsortiumContentMismatch(uint64 proposal);
    error ConsortiumNotAdopted(uint64 proposal, uint256 support, uint256 members);
    error ConsortiumTooEarly(uint64 proposal, uint64 executableAt);
    error ConsortiumOvertaken(uint64 proposal);
    error ConsortiumAlreadyVoted(uint64 proposal, uint16 member);
    error ConsortiumBadProposal(string reason);
    error ConsortiumBadMember(string reason);
    error ConsortiumBadAccount(address account);
    error ConsortiumBadNameSpace(string reason);
    error ConsortiumBadProfile(string reason);
    error ConsortiumBadElectorate(string reason);
    error ConsortiumBadParameters(string reason);

    event ConsortiumFounded(bytes32 indexed foundingHash, bytes32 salt);
    event MemberChanged(uint16 indexed member, MemberKind kind, MemberState state, string name);
    event AccountChanged(address indexed account, uint16 indexed member, Role role, bool active);
    event NameSpaceChanged(uint16 indexed member, NameKind kind, uint8 bits, bytes value, bool added);
    event ProfileChanged(uint16 indexed profile, Profile content);
    event ElectorateChanged(uint24 indexed electorate, uint16[] members, uint8 quorum);
    event ParametersChanged(Parameters content);
    event ProposalMade(
        uint64 indexed proposal,
        uint16 indexed member,
        ProposalKind kind,
        bytes32 contentHash,
        bytes content,
        uint64 expiresAt
    );
    event VoteCast(uint64 indexed proposal, uint16 indexed member, bool support);
    /// @param executableAt from when it can be executed, as far as is known now.
    /// @param expiresAt until when: as at the proposal, or sooner.
    event ProposalAdopted(uint64 indexed proposal, uint64 executableAt, uint64 expiresAt);
    event ProposalExecuted(uint64 indexed proposal);

    function found(Founding calldata founding, bytes[] calldata signatures) external;

    /// @notice A member's administrator adds, suspends or restores an account of its own member.
    /// @param consent `who`'s own signature over `Join`, when `who` is new: nobody takes an address that is another's.
    function setAccount(
        uint16 memberId,
        address who,
        Role role,
        bool active,
        address administrator,
        uint256 nonce,
        uint64 deadline,
        bytes calldata signature,
        bytes calldata consent
    ) external;

    /// @param content `abi.encode` of the kind's arguments: docs/ledger.md. Proposing is also the proposer's vote.
    function propose(
        ProposalKind kind,
        bytes calldata content,
        address administrator,
        uint256 nonce,
        uint64 deadline,
        bytes calldata signature
    ) external returns (uint64 proposal);
    function vote(
        uint64 proposal,
        bytes32 contentHash,
        bool support,
        address administrator,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice Carries out an adopted proposal, after its delay where it has one. Anyone may call it. Refused when
    /// another one about the same was carried out since this one was made.
    function execute(uint64 proposal, bytes calldata content) external;

    function salt() external view returns (bytes32);
    function directory() external view returns (address);
    function memberCount() external view returns (uint16);
    function foundersHash() external view returns (bytes32);
    function member(uint16 id) external view returns (Member memory);
    function memberState(uint16 id) external view returns (MemberState);
    function nameSpaces(uint16 memberId) external view returns (NameSpace[] memory);
    function account(address who) external view returns (Account memory);

    /// @notice The member for whom `who` may act in `role` now: the account is active and its member is active.
    /// @return 0 when it may not.
    function actingMember(address who, Role role) external view returns (uint16);
    function isActive(uint16 memberId) external view returns (bool);
    function profile(uint16 id) external view returns (Profile memory);
    function currentElectorate() external view returns (uint24);
    function electorate(uint24 number) external view returns (Electorate memory);
    function parameters() external view returns (Parameters memory);
    function proposalCount() external view returns (uint64);
    function proposal(uint64 id) external view returns (Proposal memory);

    /// @return support votes in favour by members that are active now
    /// @return members all members that are not removed: more than 2/3 of these are needed
    function tally(uint64 id) external view returns (uint256 support, uint256 members);
    function isNonceUsed(address signer, uint256 nonce) external view returns (bool);

    /// @notice Whether `name` (kind and value as in `NameSpace`) lies wholly in a space of that member.
    function isInSpace(uint16 memberId, NameKind kind, bytes calldata value, uint8 bits) external view returns (bool);
}
