// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {MemberRules} from "./MemberRules.sol";
import {MemberSet} from "./MemberSet.sol";
import {NameSpaces} from "./NameSpaces.sol";
import {Nonces} from "./Nonces.sol";
import {Subjects} from "./Subjects.sol";
import {TypedDomain} from "./TypedDomain.sol";
import {ICertificateRegistry} from "./interfaces/ICertificateRegistry.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {ITrustList} from "./interfaces/ITrustList.sol";

/// @title Members, their accounts, and votes
/// @notice Immutable, without owner: after founding nothing changes but by a member's own administrator (its accounts)
/// or by more than 2/3 of all members that are not removed. Suspended members count among these but may not vote, so
/// that serial suspension cannot shrink the majority. Source: docs/ledger.md.
contract Consortium is IConsortium, TypedDomain {
    using MemberSet for MemberSet.Set;
    using NameSpaces for NameSpaces.Register;
    using Nonces for Nonces.Used;

    bytes32 private constant FOUND_TYPE = keccak256("Found(bytes32 foundingHash)");
    bytes32 private constant SET_ACCOUNT_TYPE =
        keccak256("SetAccount(uint16 member,address account,uint8 role,bool active,uint256 nonce,uint64 deadline)");
    bytes32 private constant JOIN_TYPE = keccak256("Join(uint16 member,address account,uint8 role)");
    bytes32 private constant PROPOSE_TYPE =
        keccak256("Propose(uint8 kind,bytes32 contentHash,uint256 nonce,uint64 deadline)");
    bytes32 private constant VOTE_TYPE =
        keccak256("Vote(uint64 proposal,bytes32 contentHash,bool support,uint64 deadline)");
    bytes32 private constant CERTIFICATE_REGISTRY = keccak256("CertificateRegistry");
    bytes32 private constant TRUST_LIST = keccak256("TrustList");

    uint256 private constant MAXIMUM_ACCOUNTS = 32; // of one role in one admission
    uint256 private constant EXECUTION_WINDOW = 7 days; // from when an adopted proposal can be carried out

    bytes32 public immutable override foundersHash;
    address public override directory;
    uint16 public override memberCount;
    uint24 public override currentElectorate;
    uint64 public override proposalCount;

    Parameters private _parameters;
    MemberSet.Set private _active;
    MemberSet.Set private _present; // active or suspended
    NameSpaces.Register private _spaces;
    Nonces.Used private _nonces;
    mapping(uint16 id => Member) private _members;
    mapping(bytes32 nameHash => uint16 id) private _names;
    mapping(address who => Account) private _accounts;
    mapping(uint16 id => uint256) private _activeAdministrators;
    mapping(uint16 id => Profile) private _profiles;
    mapping(uint24 number => Electorate) private _electorates;
    mapping(uint64 id => Proposal) private _proposals;
    mapping(uint64 id => MemberSet.Set) private _voted;
    mapping(uint64 id => MemberSet.Set) private _support;
    mapping(bytes32 subject => uint256 time) private _carriedOutAt;

    /// @param foundersHash_ `keccak256(abi.encode(address[] founders))`: nobody else can found it first.
    constructor(bytes32 salt_, bytes32 foundersHash_) TypedDomain(salt_) {
        foundersHash = foundersHash_;
    }

    // Founding

    /// @inheritdoc IConsortium
    function found(Founding calldata founding, bytes[] calldata signatures) external {
        if (memberCount != 0) revert ConsortiumAlreadyFounded();
        uint256 count = founding.members.length;
        if (
            count == 0 || founding.founders.length != count || signatures.length != count
                || keccak256(abi.encode(founding.founders)) != foundersHash
        ) revert ConsortiumFoundersMismatch();

        bytes32 foundingHash = keccak256(abi.encode(founding));
        bytes32 structHash = keccak256(abi.encode(FOUND_TYPE, foundingHash));
        for (uint256 i = 0; i < count; ++i) {
            uint16 id = _admit(founding.members[i]);
            address founder = founding.founders[i];
            if (actingMember(founder, Role.Administrator) != id) revert ConsortiumFoundersMismatch();
            if (!_isSigned(founder, structHash, signatures[i])) revert ConsortiumBadSignature(founder);
        }
        for (uint256 i = 0; i < founding.profiles.length; ++i) {
            MemberRules.setProfile(_profiles, abi.encode(founding.profiles[i]));
        }
        _setElectorate(founding.electorate, founding.quorum);
        _setParameters(founding.parameters);
        if (IDirectory(founding.directory).consortium() != address(this)) revert ConsortiumFoundersMismatch();
        directory = founding.directory;
        for (uint256 i = 0; i < founding.entries.length; ++i) {
            _setDirectory(founding.entries[i]);
        }
        emit ConsortiumFounded(foundingHash, DOMAIN_SALT);
    }

    // A member's own accounts

    /// @inheritdoc IConsortium
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
    ) external {
        bytes32 structHash = keccak256(abi.encode(SET_ACCOUNT_TYPE, memberId, who, role, active, nonce, deadline));
        _useNonce(administrator, nonce);
        uint16 signerMember = _requireSigned(administrator, deadline, structHash, signature);
        if (signerMember != memberId) revert ConsortiumNotAuthorised(administrator);

        bool isNew = _setAccount(memberId, who, role, active);
        if (_activeAdministrators[memberId] == 0) revert ConsortiumBadAccount(who);
        if (isNew && !_isSigned(who, keccak256(abi.encode(JOIN_TYPE, memberId, who, role)), consent)) {
            revert ConsortiumBadSignature(who);
        }
    }

    // Votes

    /// @inheritdoc IConsortium
    function propose(
        ProposalKind kind,
        bytes calldata content,
        address administrator,
        uint256 nonce,
        uint64 deadline,
        bytes calldata signature
    ) external returns (uint64 id) {
        bytes32 contentHash = _contentHash(kind, content);
        bytes32 structHash = keccak256(abi.encode(PROPOSE_TYPE, kind, contentHash, nonce, deadline));
        _useNonce(administrator, nonce);
        uint16 proposer = _requireSigned(administrator, deadline, structHash, signature);
        if (kind == ProposalKind.None) revert ConsortiumBadProposal("no kind");

        id = ++proposalCount;
        Proposal storage made = _proposals[id];
        made.kind = kind;
        made.member = proposer;
        made.contentHash = contentHash;
        made.madeAt = uint40(block.timestamp);
        made.expiresAt = uint40(block.timestamp + _parameters.governanceWindowSeconds);
        if (kind == ProposalKind.SetProfile) made.subject = Subjects.profileOf(content);
        emit ProposalMade(id, proposer, kind, contentHash, content, made.expiresAt);
        _castVote(id, proposer, true);
    }

    /// @inheritdoc IConsortium
    function vote(
        uint64 id,
        bytes32 contentHash,
        bool support,
        address administrator,
        uint64 deadline,
        bytes calldata signature
    ) external {
        bytes32 structHash = keccak256(abi.encode(VOTE_TYPE, id, contentHash, support, deadline));
        uint16 voter = _requireSigned(administrator, deadline, structHash, signature);
        _requireOpen(id, contentHash);
        // A second vote would let a relay turn the first one round again, so a vote is for good.
        if (_voted[id].has(voter)) revert ConsortiumAlreadyVoted(id, voter);
        _castVote(id, voter, support);
    }

    /// @inheritdoc IConsortium
    function execute(uint64 id, bytes calldata content) external {
        ProposalKind kind = _proposals[id].kind;
        Proposal storage adopted = _requireOpen(id, _contentHash(kind, content));
        (uint256 support, uint256 members) = tally(id);
        if (!_isMajority(support, members)) revert ConsortiumNotAdopted(id, support, members);
        bool adoptedNow = _adopt(id, adopted);
        uint256 executableAt = _executableAt(adopted);
        if (block.timestamp < executableAt) {
            // Members that were removed since the last vote can make the difference: then this starts the delay.
            if (adoptedNow) return;
            revert ConsortiumTooEarly(id, uint64(executableAt));
        }
        adopted.executed = true;
        bytes32 subject = Subjects.subjectOf(kind, content);
        if (_carriedOutAt[subject] > adopted.madeAt) revert ConsortiumOvertaken(id);
        if (subject != 0) _carriedOutAt[subject] = block.timestamp;
        _carryOut(kind, content, adopted.madeAt);
        emit ProposalExecuted(id);
    }

    // Views

    /// @inheritdoc IConsortium
    function salt() external view returns (bytes32) {
        return DOMAIN_SALT;
    }

    /// @inheritdoc IConsortium
    function member(uint16 id) external view returns (Member memory) {
        return _members[id];
    }

    /// @inheritdoc IConsortium
    function memberState(uint16 id) external view returns (MemberState) {
        return _members[id].state;
    }

    /// @inheritdoc IConsortium
    function nameSpaces(uint16 memberId) external view returns (NameSpace[] memory) {
        return _spaces.ofMember[memberId];
    }

    /// @inheritdoc IConsortium
    function account(address who) external view returns (Account memory) {
        return _accounts[who];
    }

    /// @inheritdoc IConsortium
    function actingMember(address who, Role role) public view returns (uint16) {
        Account memory known = _accounts[who];
        if (!known.active || known.role != role || _members[known.member].state != MemberState.Active) return 0;
        return known.member;
    }

    /// @inheritdoc IConsortium
    function isActive(uint16 memberId) external view returns (bool) {
        return _members[memberId].state == MemberState.Active;
    }

    /// @inheritdoc IConsortium
    function profile(uint16 id) external view returns (Profile memory) {
        return _profiles[id];
    }

    /// @inheritdoc IConsortium
    function electorate(uint24 number) external view returns (Electorate memory) {
        return _electorates[number];
    }

    /// @inheritdoc IConsortium
    function parameters() external view returns (Parameters memory) {
        return _parameters;
    }

    /// @inheritdoc IConsortium
    function proposal(uint64 id) external view returns (Proposal memory) {
        return _proposals[id];
    }

    /// @inheritdoc IConsortium
    function tally(uint64 id) public view returns (uint256 support, uint256 members) {
        support = _support[id].countBoth(_active, memberCount);
        members = _present.count(memberCount);
    }

    /// @inheritdoc IConsortium
    function isNonceUsed(address signer, uint256 nonce) external view returns (bool) {
        return _nonces.isUsed(signer, nonce);
    }

    /// @inheritdoc IConsortium
    function isInSpace(uint16 memberId, NameKind kind, bytes calldata value, uint8 bits) external view returns (bool) {
        return _spaces.contains(memberId, kind, value, bits);
    }

    // Orders and votes, inside

    function _requireSigned(address administrator, uint64 deadline, bytes32 structHash, bytes calldata signature)
        private
        view
        returns (uint16 memberId)
    {
        if (block.timestamp > deadline) revert ConsortiumDeadlinePassed(deadline);
        memberId = actingMember(administrator, Role.Administrator);
        if (memberId == 0) revert ConsortiumNotAuthorised(administrator);
        if (!_isSigned(administrator, structHash, signature)) revert ConsortiumBadSignature(administrator);
    }

    function _useNonce(address administrator, uint256 nonce) private {
        if (!_nonces.use(administrator, nonce)) revert ConsortiumNonceUsed(administrator, nonce);
    }

    /// @dev With the kind, since the content of one kind may be that of another: `Suspend` and `Restore` are a number.
    function _contentHash(ProposalKind kind, bytes calldata content) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(kind, content));
    }

    function _requireOpen(uint64 id, bytes32 contentHash) private view returns (Proposal storage open) {
        open = _proposals[id];
        if (open.kind == ProposalKind.None) revert ConsortiumUnknownProposal(id);
        if (open.executed || block.timestamp > open.expiresAt) revert ConsortiumProposalClosed(id);
        if (open.contentHash != contentHash) revert ConsortiumContentMismatch(id);
    }

    function _castVote(uint64 id, uint16 voter, bool support) private {
        _voted[id].put(voter, true);
        if (support) _support[id].put(voter, true);
        emit VoteCast(id, voter, support);
        (uint256 inFavour, uint256 members) = tally(id);
        if (_isMajority(inFavour, members)) _adopt(id, _proposals[id]);
    }

    function _adopt(uint64 id, Proposal storage adopted) private returns (bool adoptedNow) {
        if (adopted.adoptedAt != 0) return false;
        adopted.adoptedAt = uint40(block.timestamp);
        adopted.delaySeconds = _parameters.delaySeconds;
        uint256 executableAt = _executableAt(adopted);
        // Not to be kept for an occasion that nobody thought of when it was adopted.
        if (executableAt + EXECUTION_WINDOW < adopted.expiresAt) {
            adopted.expiresAt = uint40(executableAt + EXECUTION_WINDOW);
        }
        emit ProposalAdopted(id, uint64(executableAt), adopted.expiresAt);
        return true;
    }

    function _isMajority(uint256 support, uint256 members) private pure returns (bool) {
        return 3 * support > 2 * members;
    }

    /// @dev Judged anew at execution: a profile that was new at adoption may exist by then.
    function _executableAt(Proposal storage adopted) private view returns (uint256) {
        ProposalKind kind = adopted.kind;
        bool delayed = kind == ProposalKind.SetElectorate || kind == ProposalKind.SetParameters
            || kind == ProposalKind.SetDirectory
            || (kind == ProposalKind.SetProfile && bytes(_profiles[adopted.subject].name).length != 0);
        return uint256(adopted.adoptedAt) + (delayed ? adopted.delaySeconds : 0);
    }

    function _carryOut(ProposalKind kind, bytes calldata content, uint40 madeAt) private {
        if (kind == ProposalKind.Admit) {
            _admit(abi.decode(content, (MemberSeed)));
        } else if (kind == ProposalKind.Suspend) {
            _changeState(abi.decode(content, (uint16)), MemberState.Suspended);
        } else if (kind == ProposalKind.Restore) {
            _changeState(abi.decode(content, (uint16)), MemberState.Active);
        } else if (kind == ProposalKind.Remove) {
            _changeState(abi.decode(content, (uint16)), MemberState.Removed);
        } else if (kind == ProposalKind.BlockKey) {
            (bytes32 spkiHash, uint8 reason) = abi.decode(content, (bytes32, uint8));
            _registry().blockKey(spkiHash, reason);
        } else if (kind == ProposalKind.SetProfile) {
            MemberRules.setProfile(_profiles, content);
        } else if (kind == ProposalKind.SetElectorate) {
            (uint16[] memory members, uint8 quorum) = abi.decode(content, (uint16[], uint8));
            _setElectorate(members, quorum);
        } else if (kind == ProposalKind.SetParameters) {
            _setParameters(abi.decode(content, (Parameters)));
        } else if (kind == ProposalKind.AddNameSpace) {
            (uint16 id, NameSpace memory space) = abi.decode(content, (uint16, NameSpace));
            _addNameSpace(id, space);
        } else if (kind == ProposalKind.RemoveNameSpace) {
            (uint16 id, NameSpace memory space) = abi.decode(content, (uint16, NameSpace));
            _removeNameSpace(id, space);
        } else if (kind == ProposalKind.SetDirectory) {
            _setDirectory(abi.decode(content, (DirectorySeed)));
        } else if (kind == ProposalKind.HoldCertificate) {
            (bytes32 certificate, uint8 reason) = abi.decode(content, (bytes32, uint8));
            _registry().holdByVote(certificate, reason);
        } else if (kind == ProposalKind.TrustRoot) {
            ITrustList(_current(TRUST_LIST)).trustRootByVote(content);
        } else if (kind == ProposalKind.WithdrawAuthority) {
            ITrustList(_current(TRUST_LIST)).withdrawByVote(content);
        } else {
            _registry().releaseByVote(abi.decode(content, (bytes32)), madeAt);
        }
    }

    // Changes, inside

    function _admit(MemberSeed memory seed) private returns (uint16 id) {
        MemberRules.requireName(bytes(seed.name));
        if (seed.kind == MemberKind.None) revert ConsortiumBadMember("no kind");
        bytes32 nameHash = keccak256(bytes(seed.name));
        if (_names[nameHash] != 0) revert ConsortiumBadMember("the name is taken");
        if (seed.administrators.length == 0) revert ConsortiumBadMember("no administrator");

        id = ++memberCount;
        _names[nameHash] = id;
        _members[id] = Member(seed.kind, MemberState.Active, uint40(block.timestamp), seed.name);
        _active.put(id, true);
        _present.put(id, true);
        emit MemberChanged(id, seed.kind, MemberState.Active, seed.name);
        _addAccounts(id, Role.Administrator, seed.administrators);
        _addAccounts(id, Role.Duty, seed.dutyAccounts);
        _addAccounts(id, Role.Endorser, seed.endorsers);
        _addAccounts(id, Role.Station, seed.stations);
        for (uint256 i = 0; i < seed.spaces.length; ++i) {
            _addNameSpace(id, seed.spaces[i]);
        }
    }

    function _addAccounts(uint16 id, Role role, address[] memory accounts) private {
        if (accounts.length > MAXIMUM_ACCOUNTS) revert ConsortiumBadMember("too many accounts");
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (_accounts[accounts[i]].member != 0) revert ConsortiumBadAccount(accounts[i]);
            _setAccount(id, accounts[i], role, true);
        }
    }

    function _setAccount(uint16 id, address who, Role role, bool active) private returns (bool isNew) {
        Account memory known = _accounts[who];
        isNew = known.member == 0;
        if (who == address(0) || role == Role.None || (!isNew && (known.member != id || known.role != role))) {
            revert ConsortiumBadAccount(who);
        }
        if (role == Role.Administrator) {
            if (active && !known.active) ++_activeAdministrators[id];
            if (!active && known.active) --_activeAdministrators[id];
        }
        _accounts[who] = Account(id, role, active);
        emit AccountChanged(who, id, role, active);
    }

    function _changeState(uint16 id, MemberState state) private {
        Member storage changed = _members[id];
        MemberState before = changed.state;
        if (before == MemberState.None || before == MemberState.Removed) revert ConsortiumUnknownMember(id);
        if (before == state) revert ConsortiumBadMember("is in that state already");
        changed.state = state;
        changed.changedAt = uint40(block.timestamp);
        _active.put(id, state == MemberState.Active);
        _present.put(id, state != MemberState.Removed);
        // Otherwise no vote could ever succeed again.
        if (!_isMajority(_active.count(memberCount), _present.count(memberCount))) {
            revert ConsortiumBadMember("too few members would be left to vote");
        }
        emit MemberChanged(id, changed.kind, state, changed.name);
    }

    function _addNameSpace(uint16 id, NameSpace memory space) private {
        MemberState state = _members[id].state;
        if (state == MemberState.None || state == MemberState.Removed) revert ConsortiumUnknownMember(id);
        _spaces.add(id, space, memberCount);
        emit NameSpaceChanged(id, space.kind, space.bits, space.value, true);
    }

    /// @dev Ranges of lots were checked against the spaces when the lots were opened, so the member's open lots end: a
    /// lot is over once its owner changed later than it was opened. The second on top reaches one opened in this block.
    function _removeNameSpace(uint16 id, NameSpace memory space) private {
        _spaces.remove(id, space);
        _members[id].changedAt = uint40(block.timestamp + 1);
        emit NameSpaceChanged(id, space.kind, space.bits, space.value, false);
    }

    function _setElectorate(uint16[] memory members, uint8 quorum) private {
        if (members.length > MemberRules.MAXIMUM_ELECTORATE) revert ConsortiumBadElectorate("more than 255 members");
        if (quorum < 2 || quorum > members.length) revert ConsortiumBadElectorate("quorum");
        uint24 number = ++currentElectorate;
        for (uint256 i = 0; i < members.length; ++i) {
            if (!_present.has(members[i])) revert ConsortiumUnknownMember(members[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (members[j] == members[i]) revert ConsortiumBadElectorate("a member stands twice");
            }
        }
        _electorates[number] = Electorate(members, quorum);
        emit ElectorateChanged(number, members, quorum);
    }

    function _setParameters(Parameters memory content) private {
        MemberRules.requireParameters(content);
        _parameters = content;
        emit ParametersChanged(content);
    }

    function _setDirectory(DirectorySeed memory seed) private {
        IDirectory(directory).set(seed.name, seed.location, seed.codeHash);
    }

    function _registry() private view returns (ICertificateRegistry) {
        return ICertificateRegistry(_current(CERTIFICATE_REGISTRY));
    }

    function _current(bytes32 name) private view returns (address) {
        return IDirectory(directory).current(name).location;
    }
}
