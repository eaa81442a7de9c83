package org.kith

import org.kith.internal.Failure
import org.kith.internal.InternalException

/** The kinds of failure: the same names and numbers in every language. */
public enum class ErrorKind(
    /** The kind's number. */
    public val code: Int,
) {
    INVALID_ARGUMENT(1),
    NOT_FOUND(2),
    NOT_MEMBER(3),
    PERMISSION_DENIED(4),
    REJECTED(5),
    INVITATION_INVALID(6),
    INVITATION_EXPIRED(7),
    INVITATION_USED(8),
    INVITATION_REVOKED(9),
    UNREACHABLE(10),
    TIMEOUT(11),
    CLOSED(12),
    BUSY(13),
    STORAGE(14),
    CORRUPT(15),
    VERSION_MISMATCH(16),
    UNSUPPORTED(17),
    EQUIVOCATION(18),
    CANCELLED(19),
    BLOCKED(20),
    STORAGE_FULL(21),
    KEY_REQUIRED(22),
    LIMIT_EXCEEDED(23),
    CURSOR_EXPIRED(24),
    APPLICATION_MISSING(25),
    INTERNAL(26),
}

/** A failed call. Its subclasses are the kinds; the message is for people. */
public sealed class KithException(
    /** The kind, as a number that is the same in every language. */
    public val kind: ErrorKind,
    message: String,
) : Exception(message) {
    /** An argument has the wrong shape or size; the message says which. */
    public class InvalidArgument(message: String) : KithException(ErrorKind.INVALID_ARGUMENT, message)

    /** The thing that was named does not exist. */
    public class NotFound(message: String) : KithException(ErrorKind.NOT_FOUND, message)

    /** The caller, or the member that was named, is no member of the context. */
    public class NotMember(message: String) : KithException(ErrorKind.NOT_MEMBER, message)

    /** The member's role does not allow this. */
    public class PermissionDenied(message: String) : KithException(ErrorKind.PERMISSION_DENIED, message)

    /** The application refused the call. */
    public class Rejected(message: String) : KithException(ErrorKind.REJECTED, message)

    /** The invitation is damaged, or is not for this. */
    public class InvitationInvalid(message: String) : KithException(ErrorKind.INVITATION_INVALID, message)

    /** The invitation's time is over. */
    public class InvitationExpired(message: String) : KithException(ErrorKind.INVITATION_EXPIRED, message)

    /** The invitation's uses are used up. */
    public class InvitationUsed(message: String) : KithException(ErrorKind.INVITATION_USED, message)

    /** An admin has revoked the invitation. */
    public class InvitationRevoked(message: String) : KithException(ErrorKind.INVITATION_REVOKED, message)

    /** No peer that could answer was reached. */
    public class Unreachable(message: String) : KithException(ErrorKind.UNREACHABLE, message)

    /** It took longer than the caller allowed. */
    public class Timeout(message: String) : KithException(ErrorKind.TIMEOUT, message)

    /** The node, context or stream has been closed. */
    public class Closed(message: String) : KithException(ErrorKind.CLOSED, message)

    /** Somebody else holds what is needed (another process has the directory), or a queue is full. */
    public class Busy(message: String) : KithException(ErrorKind.BUSY, message)

    /** The store failed; the message has the cause. */
    public class Storage(message: String) : KithException(ErrorKind.STORAGE, message)

    /** Stored data does not verify. */
    public class Corrupt(message: String) : KithException(ErrorKind.CORRUPT, message)

    /** Two sides, or the store and this library, do not speak the same version. */
    public class VersionMismatch(message: String) : KithException(ErrorKind.VERSION_MISMATCH, message)

    /** This version cannot do that. */
    public class Unsupported(message: String) : KithException(ErrorKind.UNSUPPORTED, message)

    /** A member has signed two histories. */
    public class Equivocation(message: String) : KithException(ErrorKind.EQUIVOCATION, message)

    /** The call was given up. (A cancelled coroutine gets a `CancellationException` instead.) */
    public class Cancelled(message: String) : KithException(ErrorKind.CANCELLED, message)

    /** Applying stands still after a local fault; the message has the cause. */
    public class Blocked(message: String) : KithException(ErrorKind.BLOCKED, message)

    /** No space is left where the store lives. */
    public class StorageFull(message: String) : KithException(ErrorKind.STORAGE_FULL, message)

    /** The store is sealed and the key is missing or wrong. */
    public class KeyRequired(message: String) : KithException(ErrorKind.KEY_REQUIRED, message)

    /** A limit was passed; the message says which. */
    public class LimitExceeded(message: String) : KithException(ErrorKind.LIMIT_EXCEEDED, message)

    /** The cursor is older than what is kept. */
    public class CursorExpired(message: String) : KithException(ErrorKind.CURSOR_EXPIRED, message)

    /** The host has not registered the application of this context. */
    public class ApplicationMissing(message: String) : KithException(ErrorKind.APPLICATION_MISSING, message)

    /** A defect in Kith. */
    public class Internal(message: String) : KithException(ErrorKind.INTERNAL, message)

    internal companion object {
        fun of(code: Int, message: String): KithException =
            when (ErrorKind.entries.find { it.code == code } ?: ErrorKind.INTERNAL) {
                ErrorKind.INVALID_ARGUMENT -> InvalidArgument(message)
                ErrorKind.NOT_FOUND -> NotFound(message)
                ErrorKind.NOT_MEMBER -> NotMember(message)
                ErrorKind.PERMISSION_DENIED -> PermissionDenied(message)
                ErrorKind.REJECTED -> Rejected(message)
                ErrorKind.INVITATION_INVALID -> InvitationInvalid(message)
                ErrorKind.INVITATION_EXPIRED -> InvitationExpired(message)
                ErrorKind.INVITATION_USED -> InvitationUsed(message)
                ErrorKind.INVITATION_REVOKED -> InvitationRevoked(message)
                ErrorKind.UNREACHABLE -> Unreachable(message)
                ErrorKind.TIMEOUT -> Timeout(message)
                ErrorKind.CLOSED -> Closed(message)
                ErrorKind.BUSY -> Busy(message)
                ErrorKind.STORAGE -> Storage(message)
                ErrorKind.CORRUPT -> Corrupt(message)
                ErrorKind.VERSION_MISMATCH -> VersionMismatch(message)
                ErrorKind.UNSUPPORTED -> Unsupported(message)
                ErrorKind.EQUIVOCATION -> Equivocation(message)
                ErrorKind.CANCELLED -> Cancelled(message)
                ErrorKind.BLOCKED -> Blocked(message)
                ErrorKind.STORAGE_FULL -> StorageFull(message)
                ErrorKind.KEY_REQUIRED -> KeyRequired(message)
                ErrorKind.LIMIT_EXCEEDED -> LimitExceeded(message)
                ErrorKind.CURSOR_EXPIRED -> CursorExpired(message)
                ErrorKind.APPLICATION_MISSING -> ApplicationMissing(message)
                ErrorKind.INTERNAL -> Internal(message)
            }
    }
}

/** Which callback of the library's this thread is in. What needs the library's answer would wait for itself there. */
internal object Inside {
    private val callback = ThreadLocal<String?>()

    fun <T> of(name: String, body: () -> T): T {
        val before = callback.get()
        callback.set(name)
        try {
            return body()
        } finally {
            callback.set(before)
        }
    }

    fun refuse() {
        callback.get()?.let { throw KithException.Unsupported("this may not be called from inside $it") }
    }
}

/** Turns the failures of the generated layer into those of this one. */
internal inline fun <T> translated(body: () -> T): T {
    Inside.refuse()
    Library.begin()
    try {
        return body()
    } catch (failure: Failure.Failed) {
        throw KithException.of(failure.kind.toInt(), failure.words)
    } catch (defect: InternalException) {
        throw KithException.Internal(defect.message ?: "the library panicked")
    }
}

internal fun millisOf(time: kotlin.time.Duration, what: String): ULong {
    if (time.isNegative()) throw KithException.InvalidArgument("$what is $time")
    return time.inWholeMilliseconds.toULong()
}

internal fun limitOf(limit: Int): UInt {
    if (limit < 0) throw KithException.InvalidArgument("limit is $limit")
    return limit.toUInt()
}
