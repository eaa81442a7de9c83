// A shared notebook on the terminal: `java -cp 'target/classes:target/dependency/*' NotesKt DIRECTORY`, then `help`. Two people try it
// in two terminals: one says `create home` and `invite`, the other one `join TOKEN`, and both write and list.
//
// A note lies under the key of its title in the collection "notes"; its value is the title, a line's end, and the text. The programs
// in C, Python and Rust keep it in the same way, so that they share notebooks.

import java.nio.file.Path
import kotlin.system.exitProcess
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import org.kith.Context
import org.kith.Event
import org.kith.KithException
import org.kith.Node
import org.kith.Role
import org.kith.StateKey

private const val HELP = """create NAME          a new notebook
invite [ROLE]        a token for one more: admin, writer (the usual) or reader
join TOKEN           to the notebook of somebody else
write TITLE TEXT     a note; a title is one word
read TITLE           one note
list                 all titles
watch                says from now on what happens
members              who is there
name NAME            what you are called here
remove MEMBER        by the beginning of an id, or by name
leave                deletes the notebook here
status               who is connected, and who lacks what
quit"""

private val terminal = System.console() != null

private fun say(words: String) {
    println(words)
    System.out.flush()
}

/** Text of other people, without what would steer the terminal. */
private fun shown(text: String): String = buildString {
    for (point in text.codePoints()) {
        val steers = when (Character.getType(point).toByte()) {
            Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.PRIVATE_USE, Character.UNASSIGNED -> true
            Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR -> true
            else -> false
        }
        if (steers) append('?') else appendCodePoint(point)
    }
}

private fun showProgress(done: Long, total: Long) {
    val filled = if (total > 0) (done * 40 / total).toInt() else 40
    System.err.print("\r[${"#".repeat(filled).padEnd(40)}] $done of $total")
}

private fun wordsFor(event: Event): String? = when (event) {
    is Event.Changed -> "notes changed"
    is Event.MemberJoined -> "somebody joined"
    is Event.MemberLeft -> "somebody left"
    is Event.MemberRemoved -> "somebody was removed"
    is Event.RoleChanged -> "a role changed"
    is Event.Renamed -> "a new name: ${event.name}"
    is Event.PeerConnected -> "connected: ${event.peer}"
    is Event.PeerDisconnected -> "disconnected: ${event.peer}"
    is Event.Rejected -> "does not count: ${event.reason}"
    is Event.Closed -> "closed: ${event.reason}"
    is Event.Blocked -> "stands still: ${event.cause}"
    is Event.Equivocation -> "two histories"
    else -> null
}

private class Notebook(private val node: Node, private val scope: CoroutineScope) {
    private var open: Context? = node.contexts().firstOrNull()?.let { node.context(it.id) }
    private var watching: Job? = null

    suspend fun run(command: String, argument: String) {
        when (command) {
            "create" -> create(argument)
            "join" -> join(argument)
            else -> {
                val context = open ?: return say("there is no notebook yet: create NAME or join TOKEN")
                run(command, argument, context)
            }
        }
    }

    private suspend fun run(command: String, argument: String, context: Context) {
        when (command) {
            "invite" -> invite(context, argument)
            "write" -> write(context, argument)
            "read" -> read(context, argument)
            "list" -> context.allEntries(StateKey.collection("notes")).collect { say(shown(textOf(it.value).substringBefore('\n'))) }
            "watch" -> watch(context)
            "members" -> members(context)
            "name" -> context.setDisplayName(argument).also { say("named") }
            "remove" -> remove(context, argument)
            "leave" -> {
                context.leave()
                open = null
                say("left")
            }
            "status" -> status(context)
        }
    }

    private suspend fun create(name: String) {
        open = node.createContext(name = name)
        say("created")
    }

    private suspend fun invite(context: Context, word: String) {
        val role = Role.values().find { it.name.lowercase() == word.ifEmpty { "writer" } }
            ?: return say("a role is admin, writer or reader")
        val token = context.invite(role)
        // White on black, whatever the colours of the terminal are.
        if (terminal) token.qr().trimEnd('\n').lines().forEach { say("\u001b[97;40m$it\u001b[0m") }
        say("token ${token.text}")
    }

    private suspend fun join(token: String) {
        try {
            open = node.join(token, onProgress = if (terminal) ::showProgress else null)
        } finally {
            if (terminal) System.err.println()
        }
        say("joined ${shown(open?.name.orEmpty())}")
    }

    private suspend fun write(context: Context, argument: String) {
        val title = argument.substringBefore(' ')
        val text = argument.substringAfter(' ', "")
        if (title.isEmpty() || text.isEmpty()) return say("write TITLE TEXT")
        context.put(StateKey.of("notes", title), "$title\n$text".encodeToByteArray())
        say("written")
    }

    private suspend fun read(context: Context, title: String) {
        val note = context.get(StateKey.of("notes", title)) ?: throw KithException.NotFound("there is no such note")
        say(shown(textOf(note).substringAfter('\n')))
    }

    private suspend fun watch(context: Context) {
        watching?.cancel()
        val events = context.subscribe()
        watching = scope.launch {
            events.use { it.asFlow().collect { event -> wordsFor(event)?.let { words -> say("* ${shown(words)}") } } }
        }
    }

    private suspend fun members(context: Context) {
        for (member in context.members()) {
            val you = if (member.id == context.me) " (you)" else ""
            say("${member.id.toString().take(8)} ${member.role.name.lowercase()} ${shown(member.name)}$you")
        }
    }

    private suspend fun remove(context: Context, who: String) {
        val meant = context.members().filter { who.isNotEmpty() && ("${it.id}".startsWith(who) || it.name == who) }
        val member = meant.singleOrNull() ?: return say("${meant.size} members are meant")
        context.remove(member.id)
        say("removed")
    }

    private suspend fun status(context: Context) {
        val status = context.status()
        val peers = status.peers.joinToString(", ") {
            """{"peer": "${it.peer}", "equal": ${it.equal}, "lacking": ${it.lacking}, "lacks": ${it.lacks}}"""
        }
        say("""{"transactions": ${status.transactions}, "commitment": "${status.commitment}", "peers": [$peers]}""")
    }

    private fun textOf(value: ByteArray): String = value.decodeToString()

    fun stop() {
        watching?.cancel()
    }
}

private val COMMANDS = HELP.lines().map { it.substringBefore(' ') }

fun main(arguments: Array<String>) {
    if (arguments.size != 1) {
        System.err.println("usage: NotesKt DIRECTORY")
        exitProcess(2)
    }
    runBlocking {
        Node.open(Path.of(arguments[0])).use { node ->
            coroutineScope {
                val book = Notebook(node, this)
                while (true) {
                    if (terminal) print("> ")
                    val line = withContext(Dispatchers.IO) { readlnOrNull() } ?: break
                    val command = line.trim().substringBefore(' ')
                    val argument = line.trim().substringAfter(' ', "")
                    when (command) {
                        "" -> continue
                        "quit" -> break
                        "help" -> say(HELP)
                        !in COMMANDS -> say("no such command: $command (try help)")
                        else -> try {
                            book.run(command, argument)
                        } catch (error: KithException) {
                            say("error: ${shown(error.message.orEmpty())}")
                        }
                    }
                }
                book.stop()
            }
        }
    }
}
