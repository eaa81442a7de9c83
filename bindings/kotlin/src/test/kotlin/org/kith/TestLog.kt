package org.kith

import org.slf4j.ILoggerFactory
import org.slf4j.IMarkerFactory
import org.slf4j.Logger
import org.slf4j.Marker
import org.slf4j.event.Level as Slf4jLevel
import org.slf4j.helpers.BasicMarkerFactory
import org.slf4j.helpers.LegacyAbstractLogger
import org.slf4j.helpers.MessageFormatter
import org.slf4j.helpers.NOPMDCAdapter
import org.slf4j.spi.MDCAdapter
import org.slf4j.spi.SLF4JServiceProvider

/** A provider for slf4j that keeps what it is told. */
public class TestLog : SLF4JServiceProvider {
    private val markers = BasicMarkerFactory()

    override fun getLoggerFactory(): ILoggerFactory = ILoggerFactory { TestLogger(it) }

    override fun getMarkerFactory(): IMarkerFactory = markers

    override fun getMDCAdapter(): MDCAdapter = NOPMDCAdapter()

    override fun getRequestedApiVersion(): String = "2.0.99"

    override fun initialize(): Unit = Unit
}

private class TestLogger(private val of: String) : LegacyAbstractLogger() {
    override fun getName(): String = of

    override fun getFullyQualifiedCallerName(): String? = null

    override fun isTraceEnabled(): Boolean = true

    override fun isDebugEnabled(): Boolean = true

    override fun isInfoEnabled(): Boolean = true

    override fun isWarnEnabled(): Boolean = true

    override fun isErrorEnabled(): Boolean = true

    override fun handleNormalizedLoggingCall(
        level: Slf4jLevel?, marker: Marker?, pattern: String?, arguments: Array<out Any?>?, error: Throwable?,
    ) {
        val message = MessageFormatter.basicArrayFormat(pattern, arguments)
        // Not an `Exception`: what is thrown here may be anything.
        if (Records.throwing.getAndUpdate { maxOf(0, it - 1) } > 0) throw OutOfMemoryError("no room for a record")
        Records.kept.add(Records.Record(of, "$message", Thread.currentThread().name))
    }
}
