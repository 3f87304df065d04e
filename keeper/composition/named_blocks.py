"""Blocks named by the user, with explanations for missing or too early ones."""

from keeper.chain.reader import NodeReader
from keeper.domain.errors import BlockUnknown, ChainError, ConfigError
from keeper.domain.head import BlockName, BlockTag, Head


async def find_named(reader: NodeReader, block: BlockName) -> Head:
    """Find the block of a name, or the newest one.

    Raises:
        BlockUnknown: the chain is not that far, or the node does not know the hash.
        ChainError: the node reports no such block, or does not answer.
    """
    if isinstance(block, BlockTag):
        head = await reader.finalized()
        if head is None:
            raise ChainError("the node reports no finalized block", hint="name a block: --block N")
        return head
    try:
        return await reader.head(block)
    except BlockUnknown as error:
        newest = (await reader.head()).number
        if isinstance(block, int) and block > newest:
            raise BlockUnknown(
                f"block {block} is not there yet", hint=f"the newest block is {newest}"
            ) from error
        raise


async def explain_early(reader: NodeReader, head: Head, error: ConfigError) -> ConfigError:
    """Explain a contract error at a past block, since contracts may have been created later."""
    newest = await reader.head()
    if newest.number <= head.number:
        return error
    return ConfigError(
        f"{error}, at block {head.number}",
        hint="name a block after the market was made (its from_block), or leave out --block",
    )
